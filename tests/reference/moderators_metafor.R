# Tests of moderators: of some coefficients beside others, of interactions, and with rows that share patients.
#   Rscript tests/reference/moderators_metafor.R tests/reference/moderators_input.json tests/reference/moderators_metafor.json
#
# moderators_input.json holds what metafor is given: estimates and their dense sampling covariance of short fatigue
# (tests/moderators/test_answer.py compares them with what the protocol makes). rma.mv fits tau2 with correlation 0.5
# between the true effects of one trial's rows; its F is not scaled. "scaled" divides by s2 = y'Py / (k - p), P with
# rma.mv's tau2, as Knapp and Hartung (2003) do, and counts trials: dense matrices here, metafor's tau2.
suppressMessages({library(metafor); library(metadat); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
given <- fromJSON(args[1])
out <- list()

scaled <- function(y, M, X, which, trials) {
  W <- solve(M); A <- solve(t(X) %*% W %*% X)
  b <- A %*% t(X) %*% W %*% y
  P <- W - W %*% X %*% A %*% t(X) %*% W
  s2 <- c(t(y) %*% P %*% y) / (length(y) - ncol(X))
  m <- length(which); df2 <- trials - ncol(X)
  f <- c(t(b[which]) %*% solve(A[which, which, drop = FALSE]) %*% b[which]) / (m * s2)
  list(f = f, df = c(m, df2), p = pf(f, m, df2, lower.tail = FALSE), b = c(b), se = c(sqrt(diag(A) * s2)), s2 = s2)
}

d <- data.frame(y = given$y, study = given$study, exercise = given$exercise, timing = given$timing, row = seq_along(given$y))
d$exercise <- relevel(factor(d$exercise), "aerobic"); d$timing <- relevel(factor(d$timing), "during")
V <- given$S
R <- outer(d$study, d$study, "==") * 0.5; diag(R) <- 1
trials <- length(unique(d$study))
for (form in c("exercise + timing", "exercise * timing", "exercise", "1")) {
  fit <- rma.mv(y, V, mods = as.formula(paste("~", form)), random = ~ row | study, struct = "CS", rho = 0.5, data = d,
                test = "t", control = list(optimizer = "optim", optmethod = "BFGS", reltol = 1e-14))
  X <- model.matrix(as.formula(paste("~", form)), d)
  entry <- list(terms = colnames(X), tau2 = fit$tau2, b = c(fit$b), se = fit$se)
  M <- V + fit$tau2 * R
  assign <- attr(X, "assign")
  for (term in setdiff(unique(assign), 0)) {
    which <- which(assign == term)
    test <- anova(fit, btt = which)
    name <- attr(terms(as.formula(paste("~", form))), "term.labels")[term]
    entry$tests[[name]] <- list(unscaled = list(f = test$QM, df = c(length(which), fit$QMdf[2]), p = test$QMp),
                                scaled = scaled(d$y, M, X, which, trials))
  }
  if (form == "exercise") {
    wald <- rma.mv(y, V, mods = ~ exercise, random = ~ row | study, struct = "CS", rho = 0.5, data = d, control = list(optimizer = "optim", optmethod = "BFGS", reltol = 1e-14))
    entry$subgroup <- list(q = wald$QM, df = 2, p = wald$QMp)
  }
  out[[paste("fatigue:", form)]] <- entry
}

bcg <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
fit <- rma(yi, vi, mods = ~ factor(alloc) + ablat, data = bcg, test = "knha", control = list(tol = 1e-14, maxiter = 10000, threshold = 1e-12))
test <- anova(fit, btt = 2:3)
out$bcg <- list(tau2 = fit$tau2, b = c(fit$b), se = fit$se, r2 = fit$R2,
                alloc = list(f = test$QM, df = c(2, fit$dfs), p = test$QMp),
                y = c(bcg$yi), v = c(bcg$vi), alloc_levels = bcg$alloc, ablat = bcg$ablat)
out$made_with <- paste("metafor", packageVersion("metafor"), R.version.string)
write_json(out, args[2], digits = 15, auto_unbox = TRUE, pretty = TRUE)
