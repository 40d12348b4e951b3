# Reference results for rows in clusters: y ~ N(X beta, V + sigma1^2 ZZ' + sigma2^2 I), by metafor's rma.mv.
#   Rscript tests/reference/multilevel_metafor.R tests/reference/multilevel_metafor.json
#
# Data are from R package metadat: dat.konstantopoulos2011 (districts, schools; independent sampling errors, dense ids),
# dat.assink2016 (17 trials with up to 22 rows) with and without sampling errors that correlate 0.6 within a trial, and
# with a moderator. "surface" is rma.mv's restricted and full log likelihood with both variances fixed; "REML" is its
# own optimum, which stops at about six digits.
suppressMessages({library(metafor); library(metadat); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
sigma <- c(0, 0.03, 0.1, 0.25, 0.6, 1.5)

solve_set <- function(id, y, V, cluster, mods = NULL) {
  k <- length(y); row <- seq_len(k); cluster <- as.character(cluster)
  X <- if (is.null(mods)) matrix(1, k, 1) else cbind(1, mods - mean(mods))
  run <- function(method, ...) rma.mv(y, V, mods = X, intercept = FALSE, random = list(~ 1 | cluster, ~ 1 | row),
    method = method, sparse = FALSE, ...)
  surface <- do.call(rbind, lapply(sigma, function(s1) do.call(rbind, lapply(sigma, function(s2) {
    r <- run("REML", sigma2 = c(s1, s2)^2); m <- run("ML", sigma2 = c(s1, s2)^2)
    data.frame(between = s1, within = s2, reml = as.numeric(logLik(r)), ml = as.numeric(logLik(m)),
               estimate = c(r$b)[1], se = r$se[1])
  }))))
  free <- run("REML", control = list(rel.tol = 1e-10))
  blup <- ranef(free)
  list(id = id, y = y, V = if (is.matrix(V)) V else diag(V), cluster = cluster, moderator = mods, surface = surface,
       REML = list(between = sqrt(free$sigma2[1]), within = sqrt(free$sigma2[2]), estimate = c(free$b), se = free$se,
                   loglik = as.numeric(logLik(free)),
                   u = list(cluster = rownames(blup[[1]]), value = blup[[1]]$intrcpt), w = blup[[2]]$intrcpt))
}

k11 <- dat.konstantopoulos2011
a16 <- dat.assink2016
S <- outer(a16$study, a16$study, "==") * 0.6 * outer(sqrt(a16$vi), sqrt(a16$vi)); diag(S) <- a16$vi
out <- list(
  made_with = list(R = R.version.string, metafor = as.character(packageVersion("metafor")),
                   metadat = as.character(packageVersion("metadat"))),
  tolerance = "surface 1e-9; REML is where rma.mv's optimiser stopped, 1e-5 relative",
  sets = list(
    solve_set("konstantopoulos", k11$yi, k11$vi, k11$district),
    solve_set("konstantopoulos_year", k11$yi, k11$vi, k11$district, k11$year),
    solve_set("assink", a16$yi, a16$vi, a16$study),
    solve_set("assink_correlated", a16$yi, S, a16$study)))
write_json(out, args[1], digits = NA, auto_unbox = TRUE, na = "null", pretty = FALSE)
for (s in out$sets) cat(s$id, length(s$y), length(unique(s$cluster)), unlist(s$REML[1:5]), "\n")
