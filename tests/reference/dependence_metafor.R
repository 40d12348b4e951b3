# Reference results for rows that depend on each other within trials: rma.mv with two variances, cluster-robust
# standard errors, CHE at several correlations, and one row per trial.
#   Rscript tests/reference/dependence_metafor.R tests/reference/dependence_metafor.json
#
# rma.mv's optimiser stops at about six digits of a variance whatever its control says, so its optimum is polished:
# Newton steps on the exact restricted likelihood by dense matrices here, started where rma.mv stopped, until
# the gradient is rounding. rma.mv then gives estimates, SEs and likelihood with both variances fixed at those values
# ("sigma2_rma_mv" is its own optimum). Profile limits are uniroot (tol 1e-12) on rma.mv's likelihood formula, profiled
# by optimize (tol 1e-12). robust() is metafor's own and clubSandwich's.
suppressMessages({library(metafor); library(metadat); library(clubSandwich); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)

sets <- list()
a16 <- dat.assink2016
sets$assink <- list(y = a16$yi, v = a16$vi, study = a16$study, mods = cbind(year = a16$year), rho = 0.6)
k11 <- dat.konstantopoulos2011
sets$konstantopoulos <- list(y = k11$yi, v = k11$vi, study = k11$district, mods = cbind(year = k11$year), rho = 0)
cr <- escalc(measure = "ZCOR", ri = ri, ni = ni, data = dat.crede2010, subset = criterion == "grade")
sets$crede <- list(y = c(cr$yi), v = cr$vi, study = cr$studyid, mods = cbind(year = cr$year), rho = 0)
kn <- dat.knapp2017
kn <- kn[complete.cases(kn[, c("yi", "vi", "difficulty")]), ]
sets$knapp <- list(y = c(kn$yi), v = kn$vi, study = kn$study, mods = cbind(difficulty = kn$difficulty), rho = 0.4)
bk <- dat.berkey1998
bV <- matrix(0, 10, 10)
for (i in seq(1, 9, 2)) bV[i:(i + 1), i:(i + 1)] <- as.matrix(bk[i:(i + 1), c("v1i", "v2i")])
sets$berkey <- list(y = c(bk$yi), v = diag(bV), study = bk$trial, mods = cbind(AL = as.numeric(bk$outcome == "AL")), V = bV)
bcg <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
sets$bcg <- list(y = c(bcg$yi), v = c(bcg$vi), study = bcg$trial, mods = cbind(ablat = bcg$ablat), rho = 0)

with_correlation <- function(v, study, rho) {
  V <- outer(study, study, "==") * rho * outer(sqrt(v), sqrt(v)); diag(V) <- v
  V
}

polish <- function(y, V, X, Z, start, reml) {
  k <- length(y); D <- list(Z %*% t(Z), diag(k))
  theta <- start
  for (iteration in 1:200) {
    W <- solve(V + theta[1] * D[[1]] + theta[2] * D[[2]])
    P <- W - W %*% X %*% solve(t(X) %*% W %*% X, t(X) %*% W)
    T <- if (reml) P else W
    s <- sapply(1:2, function(i) c(t(y) %*% P %*% D[[i]] %*% P %*% y) - sum(T * D[[i]])) / 2
    H <- sapply(1:2, function(i) sapply(1:2, function(j)
      c(t(y) %*% P %*% D[[i]] %*% P %*% D[[j]] %*% P %*% y) - sum((T %*% D[[i]]) * t(T %*% D[[j]])) / 2))
    open <- theta > 0 | s > 0
    if (any(theta < 1e-7 & s < 0)) { theta[theta < 1e-7 & s < 0] <- 0; open <- theta > 0 }
    step <- c(0, 0)
    if (any(open)) step[open] <- solve(H[open, open, drop = FALSE], s[open])
    new <- pmax(theta + step, 0)
    if (all(abs(new - theta) <= 1e-14 * (theta + 1e-4))) return(new)
    theta <- new
  }
  stopifnot(max(abs(step)) < 1e-11)
  theta
}

profile_ci <- function(y, V, X, Z, best, which, level = 0.95) {
  k <- length(y); p <- ncol(X); D1 <- Z %*% t(Z)
  ll <- function(theta) {
    M <- V + theta[1] * D1 + theta[2] * diag(k); C <- chol(M)
    Xc <- backsolve(C, X, transpose = TRUE); yc <- backsolve(C, y, transpose = TRUE)
    A <- crossprod(Xc); b <- solve(A, crossprod(Xc, yc)); e <- yc - Xc %*% b
    c(-sum(log(diag(C))) - 0.5 * determinant(A)$modulus - 0.5 * sum(e^2) + 0.5 * determinant(crossprod(X))$modulus -
      0.5 * (k - p) * log(2 * pi))
  }
  put <- function(a, b) if (which == 1) c(a, b) else c(b, a)
  top <- ll(best)
  prof <- function(a) {
    upper <- 4 * sum(best) + 4 * max(diag(V))
    o <- optimize(function(b) -ll(put(a, b)), c(0, upper), tol = 1e-12)
    max(-o$objective, ll(put(a, 0)))
  }
  f <- function(a) 2 * (top - prof(a)) - qchisq(level, 1)
  lower <- if (best[which] == 0 || f(0) <= 0) 0 else uniroot(f, c(0, best[which]), tol = 1e-13)$root
  high <- 2 * best[which] + max(diag(V)); while (f(high) < 0) high <- 2 * high
  c(lower, uniroot(f, c(best[which], high), tol = 1e-13)$root)
}

coefs <- function(r) list(estimate = c(r$b), se = r$se, df = if (is.null(r$dfs) || all(is.na(r$dfs))) NULL else r$dfs,
  stat = r$zval, p = r$pval, lower = r$ci.lb, upper = r$ci.ub)
club <- function(r, cluster, type) {
  t <- coef_test(r, vcov = vcovCR(r, cluster = cluster, type = type), test = "Satterthwaite")
  list(se = t$SE, df = t$df, p = t$p_Satt)
}

solve_set <- function(id, s) {
  k <- length(s$y); row <- seq_len(k); study <- factor(s$study, levels = unique(s$study))
  V <- if (is.null(s$V)) with_correlation(s$v, s$study, s$rho) else s$V
  Z <- model.matrix(~ study - 1); m <- nlevels(study)
  out <- list(id = id, y = s$y, v = s$v, V = V, study = as.character(s$study), moderator = s$mods[, 1],
              moderator_name = colnames(s$mods), fits = list())
  for (design in c("mean", "moderator")) {
    X <- if (design == "mean") matrix(1, k, 1) else cbind(1, s$mods)
    dimnames(X) <- NULL
    fit <- list()
    if (m < k) for (method in c("REML", "ML")) {
      own <- rma.mv(s$y, V, mods = X, intercept = FALSE, random = list(~ 1 | study, ~ 1 | row), method = method,
                    control = list(rel.tol = 1e-10))
      best <- polish(s$y, V, X, Z, own$sigma2, method == "REML")
      r <- rma.mv(s$y, V, mods = X, intercept = FALSE, random = list(~ 1 | study, ~ 1 | row), method = method, sigma2 = best)
      stopifnot(as.numeric(logLik(r)) >= as.numeric(logLik(own)) - 1e-9)
      W <- solve(V); P <- W - W %*% X %*% solve(t(X) %*% W %*% X) %*% t(X) %*% W
      fit[[method]] <- c(coefs(r), list(sigma2 = best, sigma2_rma_mv = own$sigma2, loglik = as.numeric(logLik(r)),
        i2 = 100 * best / (sum(best) + (k - ncol(X)) / sum(diag(P))), t_df = m - ncol(X),
        t_lower = c(r$b) - qt(0.975, m - ncol(X)) * r$se, t_p = 2 * pt(-abs(r$zval), m - ncol(X))))
      if (method == "REML") {
        if (k <= 60) fit[[method]]$profile <- rbind(profile_ci(s$y, V, X, Z, best, 1), profile_ci(s$y, V, X, Z, best, 2))
        fit$robust_multilevel <- list(CR1p = coefs(robust(r, cluster = study)),
          CR2 = coefs(robust(r, cluster = study, clubSandwich = TRUE)),
          CR0 = club(r, study, "CR0"), CR1 = club(r, study, "CR1"), CR1S = club(r, study, "CR1S"))
      }
    }
    # plain random effects with independent rows
    u <- rma(s$y, s$v, mods = X, intercept = FALSE, method = "REML", control = list(threshold = 1e-14, maxiter = 10000, stepadj = 0.5))
    fit$robust_random <- list(tau2 = u$tau2, CR1p = coefs(robust(u, cluster = study)),
      CR2 = coefs(robust(u, cluster = study, clubSandwich = TRUE)),
      CR0 = club(u, study, "CR0"), CR1 = club(u, study, "CR1"), CR1S = club(u, study, "CR1S"))
    # common effect with the covariance of sampling errors
    e <- rma.mv(s$y, V, mods = X, intercept = FALSE)
    fit$robust_common <- list(CR2 = coefs(robust(e, cluster = study, clubSandwich = TRUE)))
    out$fits[[design]] <- fit
  }
  if (m < k) {
    # CHE: the same with a constant working correlation in place of the known covariance
    out$che <- lapply(c(0.2, 0.4, 0.5, 0.6, 0.8), function(rho) {
      Vr <- with_correlation(s$v, s$study, rho); X <- matrix(1, k, 1)
      own <- rma.mv(s$y, Vr, random = list(~ 1 | study, ~ 1 | row), control = list(rel.tol = 1e-10))
      best <- polish(s$y, Vr, X, Z, own$sigma2, TRUE)
      r <- rma.mv(s$y, Vr, random = list(~ 1 | study, ~ 1 | row), sigma2 = best)
      W <- solve(Vr); P <- W - W %*% X %*% solve(t(X) %*% W %*% X) %*% t(X) %*% W
      c(list(correlation = rho, sigma2 = best, i2 = 100 * best / (sum(best) + (k - 1) / sum(diag(P)))),
        coefs(robust(r, cluster = study, clubSandwich = TRUE)))
    })
    # one row per trial, weighted within trials by the inverse of the working covariance
    es <- escalc(measure = "GEN", yi = s$y, vi = s$v, data = data.frame(y = s$y, v = s$v, study = study))
    ag <- aggregate(es, cluster = study, struct = "CS", rho = 0.5)
    r <- rma(ag$yi, ag$vi, test = "knha", control = list(threshold = 1e-14, maxiter = 10000, stepadj = 0.5))
    out$aggregate <- list(rho = 0.5, y = c(ag$yi), v = ag$vi, study = as.character(ag$study), tau2 = r$tau2, estimate = c(r$b), se = r$se,
                          lower = r$ci.lb, upper = r$ci.ub, p = r$pval)
    h <- rma(s$y, s$v, test = "knha", control = list(threshold = 1e-14, maxiter = 10000, stepadj = 0.5))
    out$independent <- list(tau2 = h$tau2, estimate = c(h$b), se = h$se, lower = h$ci.lb, upper = h$ci.ub, p = h$pval)
  }
  out
}

res <- list(
  made_with = list(R = R.version.string, metafor = as.character(packageVersion("metafor")),
    metadat = as.character(packageVersion("metadat")), clubSandwich = as.character(packageVersion("clubSandwich"))),
  tolerance = "variances polished to rounding, everything else is metafor's and clubSandwich's answer there: 1e-7; profile limits 1e-6",
  sets = lapply(names(sets), function(id) { cat(id, ""); solve_set(id, sets[[id]]) }))
write_json(res, args[1], digits = NA, auto_unbox = TRUE, na = "null", pretty = FALSE)
for (s in res$sets) cat(s$id, length(s$y), length(unique(s$study)), s$fits$mean$REML$sigma2, s$fits$mean$REML$sigma2_rma_mv, "\n")
