# Reference results for estimates that share patients: y ~ N(X beta, S + tau2 R), R = rho within a trial.
#   Rscript tests/reference/covariance_metafor.R data/cancer_exercise_trials.csv tests/reference/covariance_metafor.json
#
# tau2 is solved here with dense matrices (uniroot on the estimating equation, tolerance 1e-15 of its bracket) and
# checked against rma.mv's own optimum for REML and ML, which stops at about six digits ("tau2_rma_mv"); everything
# else (estimate, se, QE, QM, loglik) is rma.mv's answer with tau2 and rho fixed at those values.
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)

blockdiag <- function(se, trial, cov) {
  S <- diag(se^2)
  for (i in seq_along(se)) for (j in seq_along(se)) if (i != j && trial[i] == trial[j]) S[i, j] <- cov(i, j)
  S
}

fatigue <- function(path) {
  d <- read.csv(path, check.names = FALSE)
  d <- d[d$outcome == "fatigue" & d$horizon == "short" & d$comparator == "no exercise", ]
  stopifnot(nrow(d) == 35, all(d$coded_better == "lower"))
  N <- d$n_t + d$n_c
  J <- exp(lgamma((N - 2) / 2) - 0.5 * log((N - 2) / 2) - lgamma((N - 3) / 2))
  g <- J * (d$mean_t - d$mean_c) / sqrt(((d$n_t - 1) * d$sd_t^2 + (d$n_c - 1) * d$sd_c^2) / (N - 2))
  se <- sqrt(1 / d$n_t + 1 / d$n_c + g^2 / (2 * N))
  S <- blockdiag(se, d$study, function(i, j) 1 / d$n_c[i] + g[i] * g[j] * d$n_c[i] / (2 * N[i] * N[j]))
  list(id = "fatigue_short", study = d$study, y = g, S = S, moderators = list(timing = d$timing, exercise = d$exercise))
}

made <- function() {
  # Invented numbers: a four-arm and a three-arm trial among independent ones, wide spread of standard errors.
  study <- c("A", "A", "A", "B", "C", "C", "D", "E", "F", "G", "H")
  y <- c(0.42, 0.61, 0.10, -0.20, 0.95, 0.55, 0.31, 1.20, 0.05, 0.48, 0.77)
  se <- c(0.22, 0.25, 0.30, 0.12, 0.35, 0.28, 0.15, 0.40, 0.10, 0.33, 0.19)
  S <- blockdiag(se, study, function(i, j) 0.45 * se[i] * se[j])
  list(id = "made", study = study, y = y, S = S,
       moderators = list(weeks = c(6, 12, 24, 8, 12, 16, 10, 26, 4, 12, 20)))
}

root <- function(f, upper) {
  if (f(0) <= 0) return(0)
  while (f(upper) > 0) { upper <- 10 * upper; if (upper > 1e5) return(NA) }  # with rho = 1 there may be no root
  uniroot(f, c(0, upper), tol = 1e-15, maxiter = 10000)$root
}

solve_set <- function(set, rho, mods = NULL) {
  y <- set$y; S <- set$S; k <- length(y)
  R <- outer(set$study, set$study, "==") * rho; diag(R) <- 1
  X <- if (is.null(mods)) matrix(1, k, 1) else model.matrix(mods, as.data.frame(set$moderators))
  p <- ncol(X)
  P <- function(t) { W <- solve(S + t * R); W - W %*% X %*% solve(t(X) %*% W %*% X, t(X) %*% W) }
  q <- function(t) c(t(y) %*% P(t) %*% y)
  tr <- function(M) sum(diag(M))
  reml <- function(t) { Pt <- P(t); c(t(y) %*% Pt %*% R %*% Pt %*% y) - tr(Pt %*% R) }
  ml <- function(t) { Pt <- P(t); c(t(y) %*% Pt %*% R %*% Pt %*% y) - tr(solve(S + t * R) %*% R) }
  P0 <- P(0); M <- diag(k) - X %*% solve(t(X) %*% X, t(X))
  tau2 <- list(
    REML = root(reml, 10), ML = root(ml, 10), PM = root(function(t) q(t) - (k - p), 10),
    DL = max(0, (q(0) - (k - p)) / tr(P0 %*% R)),
    HE = max(0, (c(t(y) %*% M %*% y) - tr(M %*% S)) / tr(M %*% R)), EE = 0)
  V <- S; row <- factor(seq_len(k)); trial <- factor(set$study)
  free <- function(method) if (rho < 1) rma.mv(y, V, mods = X, intercept = FALSE, random = ~ row | trial, struct = "CS",
    rho = rho, method = method, control = list(rel.tol = 1e-10)) else NULL
  s2 <- (k - p) / tr(P0)
  tau2 <- tau2[!is.na(tau2)]
  fits <- lapply(names(tau2), function(m) {
    t <- tau2[[m]]
    # rho = 1 makes rma.mv's R singular, so the fixed part goes into V instead; the model is the same.
    f <- rma.mv(y, S + t * R, mods = X, intercept = FALSE, method = if (m == "REML") "REML" else "ML")
    own <- if (m %in% c("REML", "ML")) free(m) else NULL
    if (!is.null(own)) stopifnot(abs(own$tau2 - t) < 1e-4 * max(t, 1e-3))
    h <- q(t) / (k - p)
    list(tau2 = t, tau2_rma_mv = if (is.null(own)) NA else own$tau2, estimate = c(f$b), se = f$se,
         ci_low = f$ci.lb, ci_high = f$ci.ub, loglik = as.numeric(logLik(f)), hk_factor = h, i2 = 100 * t / (t + s2))
  })
  names(fits) <- names(tau2)
  qp <- function(prob) root(function(t) q(t) - qchisq(prob, k - p), 10)
  other <- if (p > 1) {
    f <- rma.mv(y, S + tau2$REML * R, mods = X, intercept = FALSE, btt = 2:p, method = "REML")
    list(QM = f$QM, QM_p = f$QMp)
  } else list()
  c(list(rho = rho, mods = if (is.null(mods)) NA else paste(deparse(mods), collapse = ""), fits = fits,
         Q = q(0), Q_p = pchisq(q(0), k - p, lower.tail = FALSE),
         tau2_qprofile = c(qp(0.975), qp(0.025)), trials = length(unique(set$study))), other)
}

pack <- function(set, cases) {
  list(study = set$study, y = set$y, S = set$S, moderators = set$moderators, cases = cases)
}
f <- fatigue(args[1]); m <- made()
out <- list(
  made_with = list(R = R.version.string, metafor = as.character(packageVersion("metafor"))),
  tolerance = "tau2, estimate, se, loglik, Q-profile 1e-9; tau2_rma_mv is where rma.mv's optimiser stopped, 1e-4",
  sets = list(
    fatigue_short = pack(f, c(lapply(c(0, 0.5, 0.9, 1), function(r) solve_set(f, r)),
                              list(solve_set(f, 0.5, ~ timing)))),
    made = pack(m, c(lapply(c(0, 0.5, 0.9, 1), function(r) solve_set(m, r)), list(solve_set(m, 0.5, ~ weeks))))))
# the same rows as if they were independent
r <- rma(f$y, diag(f$S), control = list(threshold = 1e-14, maxiter = 1000))
out$independent <- list(tau = sqrt(r$tau2), estimate = c(r$b), ci_low = r$ci.lb, ci_high = r$ci.ub)
write_json(out, args[2], digits = NA, auto_unbox = TRUE, na = "null", pretty = TRUE)
cat(sapply(out$sets$fatigue_short$cases, function(c) sprintf("rho %.1f %s REML %.4f [%.4f, %.4f] tau %.4f\n", c$rho, c$mods,
  c$fits$REML$estimate[1], c$fits$REML$ci_low[1], c$fits$REML$ci_high[1], sqrt(c$fits$REML$tau2))))
cat(unlist(out$independent), "\n")
