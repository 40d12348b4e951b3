# Location-scale models and generalised variance inflation factors of metafor, for tests/classical/test_location_scale.py.
#   Rscript tests/reference/location_scale_metafor.R tests/reference/location_scale_metafor.json
# Data of metadat: dat.bcg (log risk ratios), dat.bangertdrowns2004, and dat.raudenbush1985.
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
tight <- list(optimizer = "optim", optmethod = "BFGS", reltol = 1e-15, maxit = 10000)
fitted <- function(d, location, scale) {
  f <- rma(yi, vi, mods = location, scale = scale, data = d, method = "REML", control = tight)
  null <- rma(yi, vi, mods = location, data = d, method = "REML", control = list(threshold = 1e-13, maxiter = 10000))
  list(beta = as.vector(f$beta), se = f$se, alpha = as.vector(f$alpha), se_alpha = f$se.alpha, p_alpha = f$pval.alpha,
    tau2 = as.vector(f$tau2), loglik = as.numeric(logLik(f)), null_tau2 = null$tau2, null_loglik = as.numeric(logLik(null)),
    terms = rownames(f$alpha))
}
bcg <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
bcg$random <- ifelse(bcg$alloc == "random", "random", "other")
writing <- dat.bangertdrowns2004
writing <- writing[!is.na(writing$meta), ]
writing$meta <- ifelse(writing$meta == 1, "yes", "no")
teachers <- dat.raudenbush1985
gvifs <- function(d, mods, groups) {
  f <- rma(yi, vi, mods = mods, data = d, method = "REML", control = list(threshold = 1e-13, maxiter = 10000))
  v <- lapply(groups, function(b) vif(f, btt = b))
  list(tau2 = f$tau2, terms = rownames(f$beta), gvif = sapply(v, function(x) x$vif[[1]]$vif), sif = sapply(v, function(x) x$vif[[1]]$sif))
}
result <- list(
  bcg = list(y = as.vector(bcg$yi), v = as.vector(bcg$vi), latitude = bcg$ablat, year = bcg$year, alloc = bcg$alloc, random = bcg$random,
    binary = fitted(bcg, ~ random, ~ random), numeric = fitted(bcg, ~ ablat, ~ ablat), crossed = fitted(bcg, ~ alloc + ablat, ~ ablat),
    gvif = gvifs(bcg, ~ alloc + ablat + year, list(2:3, 4, 5))),
  writing = list(y = as.vector(writing$yi), v = as.vector(writing$vi), size = writing$ni / 100, meta = writing$meta,
    binary = fitted(writing, ~ meta, ~ meta), numeric = fitted(writing, ~ I(ni / 100), ~ I(ni / 100))),
  teachers = list(y = as.vector(teachers$yi), v = as.vector(teachers$vi), weeks = teachers$weeks, setting = as.character(teachers$setting),
    tester = as.character(teachers$tester), gvif = gvifs(teachers, ~ weeks + setting + tester, list(2, 3, 4))))
writeLines(toJSON(result, digits = NA, auto_unbox = TRUE), args[1])
