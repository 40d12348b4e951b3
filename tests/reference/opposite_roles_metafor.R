# Reference results for trials whose rows share an arm in opposite roles: y ~ N(X beta, S + tau2 R) with R of arms, and
# for a control group that was divided between the comparisons of a trial.
#   Rscript tests/reference/opposite_roles_metafor.R tests/reference/opposite_roles_metafor.json
#
# R is made of the arms here: theta_row = delta_treated - delta_control with independent delta ~ N(0, tau2 / 2) gives
# 1/2, -1/2 and 0; rho stands for the half. tau2 is solved by uniroot (tol 1e-15) on the REML equation with dense matrices;
# estimates, SEs and log likelihood are rma.mv's with R as the known correlation (argument R) and tau2 fixed there;
# "tau2_rma_mv" is its own optimum, which stops at about six digits.
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)

d <- data.frame(
  study = c("A", "A", "B", "B", "B", "C", "D", "E", "E", "F"),
  arm_t = c("x", "c", "x", "y", "c", "x", "y", "x", "y", "x"),
  arm_c = c("c", "z", "c", "c", "z", "c", "c", "c", "x", "c"),
  n_t = c(40, 38, 30, 33, 29, 50, 25, 44, 41, 60), mean_t = c(7.1, 6.0, 8.2, 7.5, 6.9, 7.9, 8.8, 9.3, 8.6, 6.4),
  sd_t = c(3, 3.2, 2.9, 3.1, 3.4, 3.3, 2.7, 3, 3.6, 2.8),
  n_c = c(38, 41, 29, 29, 31, 52, 27, 43, 44, 58), mean_c = c(6.0, 4.2, 6.9, 6.9, 4.0, 6.5, 6.1, 6.8, 9.3, 6.1),
  sd_c = c(3.2, 3.1, 3.4, 3.4, 3, 3.1, 3, 3.2, 3, 2.9))
k <- nrow(d); y <- d$mean_t - d$mean_c
S <- diag(d$sd_t^2 / d$n_t + d$sd_c^2 / d$n_c)
arms <- unique(c(paste(d$study, d$arm_t), paste(d$study, d$arm_c)))
B <- t(sapply(seq_len(k), function(i) (arms == paste(d$study, d$arm_t)[i]) - (arms == paste(d$study, d$arm_c)[i])))
half <- B %*% t(B) / 2                       # correlations at rho = 1/2
for (i in seq_len(k)) for (j in seq_len(k)) if (i != j && half[i, j] != 0) {
  arm <- which(B[i, ] != 0 & B[j, ] != 0)
  from <- if (B[i, arm] > 0) d$sd_t[i]^2 / d$n_t[i] else d$sd_c[i]^2 / d$n_c[i]
  S[i, j] <- sign(B[i, arm] * B[j, arm]) * from
}
X <- cbind(1, d$arm_c == "z", d$arm_c == "x")

solve_rho <- function(rho, design) {
  R <- half * 2 * rho; diag(R) <- 1
  X <- design; p <- ncol(X)
  P <- function(t) { W <- solve(S + t * R); W - W %*% X %*% solve(t(X) %*% W %*% X, t(X) %*% W) }
  reml <- function(t) { Pt <- P(t); c(t(y) %*% Pt %*% R %*% Pt %*% y) - sum(diag(Pt %*% R)) }
  tau2 <- if (reml(0) <= 0) 0 else uniroot(reml, c(0, 50), tol = 1e-15, maxiter = 1e4)$root
  row <- seq_len(k); named <- R; dimnames(named) <- list(row, row)
  run <- function(...) rma.mv(y, S, mods = X, intercept = FALSE, random = ~ 1 | row, R = list(row = named), Rscale = FALSE,
                              data = data.frame(y, row), ...)
  fit <- run(sigma2 = tau2)
  list(rho = rho, p = p, tau2 = tau2, tau2_rma_mv = run()$sigma2, estimate = c(fit$b), se = fit$se,
       loglik = as.numeric(logLik(fit)))
}

# one trial whose control group was divided; each part beside its own arm
low <- escalc("MD", m1i = 10, sd1i = 4, n1i = 30, m2i = 13, sd2i = 4.2, n2i = 15)
high <- escalc("MD", m1i = 11, sd1i = 4.1, n1i = 31, m2i = 13, sd2i = 4.2, n2i = 15)
yi <- c(low$yi, high$yi); vi <- c(low$vi, high$vi)
shared <- diag(vi); shared[1, 2] <- shared[2, 1] <- 4.2^2 / 15
pooled <- function(V) { f <- rma.mv(yi, V); list(estimate = c(f$b), lower = f$ci.lb, upper = f$ci.ub) }

out <- list(
  made_with = list(R = R.version.string, metafor = as.character(packageVersion("metafor"))),
  tolerance = "1e-8; tau2_rma_mv is where rma.mv's optimiser stopped, 1e-4 relative",
  rows = d, y = y, S = S, half = half,
  fits = c(lapply(c(0, 0.3, 0.5), solve_rho, design = X[, 1, drop = FALSE]), lapply(c(0.3, 0.5), solve_rho, design = X)),
  divided = list(shared = pooled(shared), split = pooled(diag(vi))))
write_json(out, args[1], digits = NA, auto_unbox = TRUE, na = "null", pretty = FALSE)
for (f in out$fits) cat(f$rho, f$p, f$tau2, f$tau2_rma_mv, f$estimate, f$se, "\n")
print(out$divided)
