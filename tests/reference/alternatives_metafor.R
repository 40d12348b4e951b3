# Alternative estimators, intervals of tau2 and permutation tests, for tests/test_alternatives.py.
#   Rscript tests/reference/alternatives_metafor.R tests/reference/alternatives_metafor.json
# Data are read from the pinned references beside this file. The generalised Q interval is metafor's confint for
# method = "GENQ", whose distribution of a weighted sum of chi2(1) comes from CompQuadForm; here it is Imhof's integral
# by R's integrate instead. Kenward-Roger is written out with dense matrices from the paper (Biometrics 1997;53:983).
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
folder <- dirname(args[1])
control <- list(threshold = 1e-13, maxiter = 10000, tol = 1e-13, tau2.max = 1e4)
pinned <- function(name) { d <- fromJSON(file.path(folder, paste0(name, ".json"))); data.frame(yi = d$yi, vi = d$vi) }
names <- c("bcg_rr", "eight_schools", "normand_smd", "hackshaw_logor", "raudenbush_smd", "crins_or")
sets <- setNames(lapply(names, pinned), names)
imhof <- function(q, lambda) {
  # P(sum lambda chi2_1 > q) = 1/2 + 1/pi int_0^inf sin(theta(u)) / (u rho(u)) du, by panels between zeros of q u / 2
  f <- function(u) sin(colSums(atan(outer(lambda, u))) / 2 - q * u / 2) /
    (u * exp(colSums(log1p(outer(lambda, u)^2)) / 4))
  # substitution u = x / (1 - x) brings the tail in
  g <- function(x) ifelse(x >= 1, 0, f(x / (1 - x)) / (1 - x)^2)
  edges <- c(0, seq(0.02, 0.98, by = 0.02), 1 - 10^-seq(2, 5, by = 0.1))
  total <- sum(sapply(seq_len(length(edges) - 1), function(i)
    integrate(g, edges[i], edges[i + 1], rel.tol = 1e-10, abs.tol = 1e-14, subdivisions = 5000, stop.on.error = FALSE)$value))
  0.5 + total / pi
}
genq <- function(d, a, level = 0.95) {
  y <- d$yi; v <- d$vi
  A <- diag(a) - outer(a, a) / sum(a)
  Q <- c(t(y) %*% A %*% y)
  tail <- function(t2) { S <- diag(sqrt(v + t2))
    l <- eigen(S %*% A %*% S, symmetric = TRUE, only.values = TRUE)$values; imhof(Q, l[seq_len(length(y) - 1)]) }
  root <- function(p) if (tail(0) > p) 0 else uniroot(function(t) tail(exp(t)) - p, c(log(1e-8 * min(v)), log(1e4 * max(v))), tol = 1e-12)$root
  ans <- sapply(c((1 - level) / 2, (1 + level) / 2), function(p) { r <- root(p); if (r == 0) 0 else exp(r) })
  estimate <- max(0, (Q - sum(diag(A) * v)) / sum(diag(A)))
  list(q = Q, at_zero = tail(0), tau2 = estimate, lower = ans[1], upper = ans[2])
}
profile_of <- function(d, method, level = 95) {
  f <- rma(yi, vi, data = d, method = method, control = control)
  pl <- confint(f, type = "PL", level = level, control = control)
  w <- confint(f, type = "Wald", level = level)
  list(tau2 = f$tau2, lower = pl$random[1, 2], upper = pl$random[1, 3], i2_lower = pl$random[3, 2], i2_upper = pl$random[3, 3],
    wald_lower = w$random[1, 2], wald_upper = w$random[1, 3])
}
henmi <- function(d, level = 95) {
  x <- hc(rma(yi, vi, data = d, method = "DL", level = level), control = list(tol = 1e-13))
  list(estimate = as.vector(x$beta), se = as.vector(x$se), lower = as.vector(x$ci.lb), upper = as.vector(x$ci.ub), tau2 = x$tau2)
}
ivhet <- function(d) {
  f <- rma(yi, vi, weights = 1 / vi, data = d, method = "DL")
  list(estimate = as.vector(f$b), se = f$se, lower = f$ci.lb, upper = f$ci.ub, p = f$pval, tau2 = f$tau2)
}
kenward <- function(d) {
  f <- rma(yi, vi, data = d, method = "REML", control = control)
  k <- nrow(d); X <- matrix(1, k, 1); V <- diag(d$vi + f$tau2); W <- solve(V); D <- diag(k)
  Phi <- solve(t(X) %*% W %*% X)
  P1 <- -t(X) %*% W %*% D %*% W %*% X
  Q11 <- t(X) %*% W %*% D %*% W %*% D %*% W %*% X
  expected <- sum(diag(W %*% D %*% W %*% D)) - sum(diag(2 * Phi %*% Q11 - Phi %*% P1 %*% Phi %*% P1))
  variance <- 2 / expected                                # of tau2: inverse of the expected information
  PhiA <- Phi + 2 * Phi %*% (variance * (Q11 - P1 %*% Phi %*% P1)) %*% Phi
  Theta <- solve(Phi)
  A1 <- variance * sum(diag(Theta %*% Phi %*% P1 %*% Phi))^2
  A2 <- variance * sum(diag(Theta %*% Phi %*% P1 %*% Phi %*% Theta %*% Phi %*% P1 %*% Phi))
  l <- 1; B <- (A1 + 6 * A2) / (2 * l); g <- ((l + 1) * A1 - (l + 4) * A2) / ((l + 2) * A2)
  c1 <- g / (3 * l + 2 * (1 - g)); c2 <- (l - g) / (3 * l + 2 * (1 - g)); c3 <- (l + 2 - g) / (3 * l + 2 * (1 - g))
  E <- 1 / (1 - A2 / l); Vs <- 2 / l * (1 + c1 * B) / ((1 - c2 * B)^2 * (1 - c3 * B)); r <- Vs / (2 * E^2)
  m <- 4 + (l + 2) / (l * r - 1)
  list(estimate = as.vector(f$b), se = sqrt(c(PhiA)), df = m, lambda = m / (E * (m - 2)),
    df_adjusted = 2 / (variance * c(P1)^2 * c(PhiA)^2), tau2 = f$tau2)
}
permute <- function(d, method, test) {
  f <- rma(yi, vi, data = d, method = method, test = test, control = list(threshold = 1e-12, maxiter = 10000))
  x <- permutest(f, exact = TRUE, progbar = FALSE)
  list(p = x$pval, stat = as.vector(f$zval), number = x$exact.iter)
}
small <- list(eight_schools = sets$eight_schools, bcg_first_9 = sets$bcg_rr[1:9, ], normand_smd = sets$normand_smd)
lambdas <- list(c(1), c(1, 1), c(3, 1, 0.2), c(5, 2, 1, 0.5, 0.1, 0.02), c(100, 1, 1, 1, 0.01))
chi <- lapply(lambdas, function(l) lapply(sum(l) * c(0.1, 0.5, 1, 2, 4), function(q) list(lambda = l, q = q, upper = imhof(q, l))))
out <- list(made_with = list(R = R.version.string, metafor = as.character(packageVersion("metafor"))),
  tolerance = "estimates 1e-9; limits that uniroot found 1e-6; Imhof 1e-8",
  henmi_copas = lapply(sets, henmi), henmi_copas_90 = lapply(sets, henmi, level = 90), ivhet = lapply(sets, ivhet),
  kenward_roger = lapply(sets, kenward),
  profile = lapply(sets, function(d) list(REML = profile_of(d, "REML"), ML = profile_of(d, "ML"))),
  genq = lapply(sets, function(d) list(DL = genq(d, 1 / d$vi), HE = genq(d, rep(1, nrow(d))), root = genq(d, 1 / sqrt(d$vi)))),
  chi2 = unlist(chi, recursive = FALSE),
  permutation = lapply(small, function(d) list(REML_wald = permute(d, "REML", "z"), REML_hksj = permute(d, "REML", "knha"),
    DL_wald = permute(d, "DL", "z"), EE_wald = permute(d, "EE", "z"))))
write_json(out, args[1], digits = 15, auto_unbox = TRUE, null = "null", na = "null")
