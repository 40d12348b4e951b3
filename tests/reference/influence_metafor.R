# Influence, leave-one-out, cumulative and all-subsets results of metafor, for tests/test_influence.py and test_subsets.py.
#   Rscript tests/reference/influence_metafor.R tests/reference/influence_metafor.json
# Data are read from the pinned references beside this file; dat.bcg is that of metadat.
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
folder <- dirname(args[1])
control <- list(threshold = 1e-13, maxiter = 10000, tol = 1e-14)
pinned <- function(name, rows = NULL) {
  d <- fromJSON(file.path(folder, paste0(name, ".json")))
  d <- data.frame(yi = d$yi, vi = d$vi)
  if (is.null(rows)) d else d[rows, ]
}
sets <- list(bcg_rr = pinned("bcg_rr"), eight_schools = pinned("eight_schools"), normand_smd = pinned("normand_smd"),
  hackshaw_logor = pinned("hackshaw_logor"), raudenbush_smd = pinned("raudenbush_smd"))
influences <- function(d, method, mods = NULL) {
  f <- if (is.null(mods)) rma(yi, vi, data = d, method = method, control = control)
       else rma(yi, vi, mods = mods, data = d, method = method, control = control)
  x <- influence(f)
  pdf(NULL); b <- baujat(f); dev.off()
  r <- rstudent(f)
  list(fitted = as.vector(fitted(f)), hat = x$inf$hat, rstandard = rstandard(f)$z, rstudent = x$inf$rstudent,
    dffits = x$inf$dffits, cook = x$inf$cook.d, cov_ratio = x$inf$cov.r, tau2_deleted = x$inf$tau2.del,
    qe_deleted = x$inf$QE.del, weight = x$inf$weight, dfbeta = unname(do.call(cbind, unclass(x$dfbs)[seq_len(f$p)])),
    se_residual = r$se, baujat_x = b$x, baujat_y = b$y, influential = as.vector(x$is.infl))
}
columns <- c("estimate", "se", "pval", "ci.lb", "ci.ub", "Q", "Qp", "tau2", "I2")
leave <- function(d, method, test) {
  f <- rma(yi, vi, data = d, method = method, test = test, control = control)
  x <- leave1out(f)
  unclass(x)[intersect(columns, names(x))]
}
cumulate <- function(d, method, test) {
  f <- rma(yi, vi, data = d, method = method, test = test, control = control)
  x <- suppressWarnings(cumul(f))
  unclass(x)[intersect(columns, names(x))]
}
subsets <- function(d, method) {
  f <- rma(yi, vi, data = d, method = method, control = control)
  x <- gosh(f, progbar = FALSE)
  list(member = apply(x$incl, 1, function(row) sum(2^(which(row) - 1))), k = x$res$k, estimate = x$res$estimate,
    tau2 = x$res$tau2, i2 = x$res$I2, q = x$res$QE)
}
bcg <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
latitude <- cbind(1, bcg$ablat)[, 2, drop = FALSE]
# Three-arm trials: rows of one trial share a control arm; true effects correlate by rho = 0.5.
arms <- data.frame(trial = c("a", "a", "b", "c", "d", "d", "d", "e", "f"), arm = c(1, 2, 1, 1, 1, 2, 3, 1, 1),
  yi = c(-0.42, -0.11, -0.65, 0.08, -0.55, -0.90, -0.31, -0.24, -1.02),
  se = c(0.21, 0.24, 0.18, 0.30, 0.26, 0.29, 0.25, 0.15, 0.33), shared = c(.02, .02, 0, 0, .03, .03, .03, 0, 0))
V <- diag(arms$se^2)
for (i in 1:9) for (j in 1:9) if (i != j && arms$trial[i] == arms$trial[j]) V[i, j] <- arms$shared[i]
tight <- list(optimizer = "optim", optmethod = "BFGS", reltol = 1e-16, maxit = 10000)
blocked <- rma.mv(yi, V, random = ~ arm | trial, struct = "CS", rho = 0.5, data = arms,
  control = tight)
by_trial <- rstudent(blocked, cluster = arms$trial)
refit <- lapply(unique(arms$trial), function(t) rma.mv(yi, V, random = ~ arm | trial, struct = "CS", rho = 0.5,
  data = arms, subset = arms$trial != t, control = tight))
blocks <- list(y = arms$yi, se = arms$se, trial = arms$trial, V = unname(V), rstudent = by_trial$obs$z,
  se_residual = by_trial$obs$se, rstandard = rstandard(blocked)$z,
  cook = unname(cooks.distance(blocked, cluster = arms$trial)[arms$trial]), hat = as.vector(hatvalues(blocked)),
  dfbeta = unname(dfbetas(blocked, cluster = arms$trial)[arms$trial, 1]), tau2 = blocked$tau2,
  estimate = as.vector(blocked$b), tau2_deleted = setNames(sapply(refit, function(f) f$tau2), unique(arms$trial))[arms$trial],
  qe_deleted = setNames(sapply(refit, function(f) f$QE), unique(arms$trial))[arms$trial],
  leave_one_out = lapply(refit, function(f) list(estimate = as.vector(f$b), se = f$se, tau2 = f$tau2, q = f$QE)))
blocks$tau2_deleted <- unname(blocks$tau2_deleted); blocks$qe_deleted <- unname(blocks$qe_deleted)
out <- list(made_with = list(R = R.version.string, metafor = as.character(packageVersion("metafor"))),
  tolerance = "REML and ML iterated to 1e-13 in tau2; with blocks, nlminb to about 1e-6",
  influence = lapply(sets, function(d) sapply(c("EE", "DL", "REML", "ML", "PM", "HE", "SJ", "HS"), function(m)
    tryCatch(influences(d, m), error = function(e) NULL), simplify = FALSE)),
  latitude = list(y = as.vector(bcg$yi), v = as.vector(bcg$vi), x = as.vector(bcg$ablat), REML = influences(bcg, "REML", latitude),
    DL = influences(bcg, "DL", latitude)),
  leave_one_out = lapply(sets, function(d) list(REML_wald = leave(d, "REML", "z"), REML_hksj = leave(d, "REML", "knha"),
    REML_hksj_adhoc = leave(d, "REML", "adhoc"), REML_t = leave(d, "REML", "t"), DL_wald = leave(d, "DL", "z"), EE_wald = leave(d, "EE", "z"))),
  cumulative = lapply(sets, function(d) list(REML_wald = cumulate(d, "REML", "z"), DL_hksj = cumulate(d, "DL", "knha"),
    EE_wald = cumulate(d, "EE", "z"))),
  subsets = lapply(list(eight_schools = pinned("eight_schools"), bcg_first_8 = pinned("bcg_rr", 1:8)), function(d)
    list(EE = subsets(d, "EE"), DL = subsets(d, "DL"), REML = subsets(d, "REML"), ML = subsets(d, "ML"))),
  blocks = blocks)
write_json(out, args[1], digits = 15, auto_unbox = TRUE, null = "null", na = "null")
cat(str(out$blocks))
