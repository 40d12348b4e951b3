# Reference results for small-study effects: R metafor, base lm where metafor has no function.
#   Rscript tests/reference/small_study_metafor.R tests/reference tests/reference/small_study_metafor.json
#
# Data are the y and v of the other files of this folder, and counts of counts_metafor.json.
# - egger_lm, egger_rma: metafor's regtest with its fitted model; PET and PEESE are the intercepts.
# - trimfill: metafor's, every estimator, both sides and the chosen one.
# - peters, harbord: lm() with the weights and predictors of the papers (Peters 2006, Harbord 2006); the package meta is not used.
# - begg_z: cor.test(exact = FALSE), without and with continuity correction.
# - limit: Ruecker 2011, written from the paper with lm() on the generalised radial plot and known variances.
# - selection: metafor's selmodel(type = "stepfun") ("metafor"), then Newton steps with numDeriv on the log likelihood
#   written out below, from where its optimiser stopped ("estimate" and so on). Both log likelihoods are compared here.
suppressMessages({library(metafor); library(jsonlite); library(numDeriv)})
args <- commandArgs(trailingOnly = TRUE)
tight <- function(v) list(threshold = 1e-13 * mean(v), maxiter = 10000)  # in units of tau2
one <- function(x) if (is.null(x) || length(x) == 0) NA else unname(c(x))
guard <- function(f) tryCatch(suppressWarnings(f), error = function(e) { message(conditionMessage(e)); NULL })

egger_lm <- function(y, v, predictor) {
  fit <- regtest(y, v, model = "lm", predictor = predictor, ret.fit = TRUE)
  s <- coef(summary(fit$fit)); ci <- confint(fit$fit)
  list(slope = s[2, 1], se = s[2, 2], stat = fit$zval, p = fit$pval, df = fit$dfs, lower = ci[2, 1], upper = ci[2, 2],
       limit = s[1, 1], limit_se = s[1, 2], limit_lower = ci[1, 1], limit_upper = ci[1, 2], limit_p = s[1, 4])
}
egger_rma <- function(y, v, method, test, predictor = "sei") {
  x <- rma(y, v, method = method, test = test, control = tight(v))
  fit <- regtest(x, predictor = predictor, ret.fit = TRUE)
  f <- fit$fit
  list(slope = f$beta[2], se = f$se[2], stat = fit$zval, p = fit$pval, df = one(fit$dfs), lower = f$ci.lb[2], upper = f$ci.ub[2],
       tau2 = f$tau2, limit = f$beta[1], limit_se = f$se[1], limit_lower = f$ci.lb[1], limit_upper = f$ci.ub[1], limit_p = f$pval[1])
}
fill <- function(y, v, estimator, method, side) {
  x <- rma(y, v, method = method, control = tight(v))
  f <- if (is.na(side)) trimfill(x, estimator = estimator, control = tight(v)) else
    trimfill(x, estimator = estimator, side = side, control = tight(v))
  k <- length(y)
  list(k0 = f$k0, side = f$side, se_k0 = f$se.k0, p_k0 = one(f$p.k0), estimate = c(f$beta), se = f$se, lower = f$ci.lb, upper = f$ci.ub,
       tau2 = f$tau2, filled_y = I(if (f$k0 > 0) f$yi[-seq_len(k)] else numeric(0)), filled_v = I(if (f$k0 > 0) f$vi[-seq_len(k)] else numeric(0)))
}
limit <- function(y, v, method) {
  tau2 <- rma(y, v, method = method, control = tight(v))$tau2
  k <- length(y); s <- sqrt(v + tau2)
  wide <- lm(I(y / s) ~ I(1 / s)); alpha <- coef(wide)[[1]]; beta <- coef(wide)[[2]]
  V <- summary(wide)$cov.unscaled            # residual variance is 1 in the model of the paper
  g <- c(sqrt(tau2), 1)
  shrunken <- beta + sqrt(tau2 / (v + tau2)) * (y - beta)
  radial <- lm(I(shrunken / sqrt(v)) ~ I(1 / sqrt(v))); plain <- lm(I(y / sqrt(v)) ~ I(1 / sqrt(v)))
  Vl <- summary(radial)$cov.unscaled
  Q <- rma(y, v, method = "EE")$QE; Qr <- sum(resid(plain)^2)
  list(tau2 = tau2, alpha = alpha, beta = beta, beta0 = beta + sqrt(tau2) * alpha, se_beta0 = sqrt(c(g %*% V %*% g)),
       betalim = coef(radial)[[2]], se_betalim = sqrt(Vl[2, 2]), mulim = sum(shrunken / v) / sum(1 / v), se_mulim = sqrt(1 / sum(1 / v)),
       shrunken = shrunken, Q = Q, Q_resid = Qr, Q_small = Q - Qr, p_small = pchisq(Q - Qr, 1, lower.tail = FALSE),
       p_resid = pchisq(Qr, k - 2, lower.tail = FALSE), G2 = suppressWarnings(1 - summary(radial)$r.squared))
}
# log likelihood of Vevea & Hedges 1995 in mu, tau2, delta_2 ...; one-sided p in the direction of positive effects
loglik <- function(par, y, v, steps, two) {
  mu <- par[1]; tau2 <- par[2]; delta <- c(1, par[-(1:2)]); s <- sqrt(v + tau2); z <- y / sqrt(v)
  p <- if (two) 2 * pnorm(-abs(z)) else pnorm(-z)
  cuts <- c(steps, 1); group <- sapply(p, function(q) which(q <= cuts)[1])
  beyond <- function(q) if (q >= 1) rep(1, length(y)) else if (two) {
    crit <- -qnorm(q / 2) * sqrt(v); pnorm(crit, mu, s, lower.tail = FALSE) + pnorm(-crit, mu, s)
  } else pnorm(-qnorm(q) * sqrt(v), mu, s, lower.tail = FALSE)
  A <- 0; last <- 0
  for (j in seq_along(cuts)) { now <- beyond(cuts[j]); A <- A + delta[j] * (now - last); last <- now }
  sum(log(delta[group]) + dnorm(y, mu, s, log = TRUE) - log(A))
}
selection <- function(y, v, steps, alternative) {
  x <- rma(y, v, method = "ML", control = tight(v))
  p <- metafor:::.selmodel.pval(y, v, alternative)
  counts <- table(cut(p, c(-Inf, steps, Inf)))
  if (any(counts == 0)) return(NULL)
  f <- selmodel(x, type = "stepfun", steps = steps, alternative = alternative,
                control = list(optimizer = "optim", optmethod = "BFGS", reltol = 1e-15, maxit = 10000))
  flip <- if (alternative == "less") -1 else 1; two <- alternative == "two.sided"
  target <- function(q) loglik(q, flip * y, v, steps, two)
  par <- c(flip * f$beta, f$tau2, f$delta[-1])
  stopifnot(abs(target(par) - c(logLik(f))) < 1e-6 * (1 + abs(c(logLik(f)))))
  at_zero <- f$tau2 < 1e-4 * mean(v)
  free <- if (at_zero) setdiff(seq_along(par), 2) else seq_along(par)
  if (at_zero) par[2] <- 0
  scaled <- pmax(abs(par), sqrt(mean(v)))
  on_free <- function(q) { full <- par; full[free] <- q * scaled[free]; target(full) }
  q <- par[free] / scaled[free]
  for (i in 1:60) {
    g <- grad(on_free, q); H <- hessian(on_free, q); step <- solve(H, g)
    best <- on_free(q); half <- 1
    while (half > 1e-6 && !isTRUE(on_free(q - half * step) >= best - 1e-9)) half <- half / 2
    q <- q - half * step
    if (max(abs(step)) < 1e-10) break
  }
  par[free] <- q * scaled[free]
  H <- hessian(on_free, q)
  vcov <- solve(-H); se <- rep(NA, length(par)); se[free] <- sqrt(diag(vcov)) * scaled[free]
  if (!at_zero && length(par) > 2) {   # the same without heterogeneity, for its likelihood-ratio test
    keep <- setdiff(seq_along(par), 2); without <- par; without[2] <- 0
    fn <- function(q) { full <- without; full[keep] <- c(q[1] * scaled[1], exp(q[-1])); -target(full) }
    o <- optim(c(par[1] / scaled[1], log(par[-(1:2)])), fn, method = "BFGS", control = list(reltol = 1e-16, maxit = 10000))
    o <- optim(o$par, fn, method = "Nelder-Mead", control = list(reltol = 1e-16, maxit = 20000))
    ll0 <- -o$value
  } else ll0 <- target(par)
  list(counts = c(counts), gradient = max(abs(g)), at_zero = at_zero, estimate = flip * par[1], se = se[1], tau2 = par[2], se_tau2 = se[2],
       delta = I(par[-(1:2)]), se_delta = I(se[-(1:2)]), loglik = target(par), loglik_tau0 = ll0, loglik_ml = c(logLik(x)),
       metafor = list(estimate = c(f$beta), se = f$se, tau2 = f$tau2, delta = I(f$delta[-1]), loglik = c(logLik(f)), LRT = f$LRT, LRT_df = f$LRTdf, LRTp = f$LRTp, LRT_tau2 = f$LRT.tau2))
}
counts_tests <- function(raw) {
  a <- as.numeric(raw$events_t); n1 <- as.numeric(raw$n_t); c <- as.numeric(raw$events_c); n2 <- as.numeric(raw$n_c)
  keep <- (a + c) > 0 & (a + c) < n1 + n2
  a <- a[keep]; n1 <- n1[keep]; c <- c[keep]; n2 <- n2[keep]
  b <- n1 - a; d <- n2 - c; n <- n1 + n2
  es <- escalc("OR", ai = a, n1i = n1, ci = c, n2i = n2)
  Z <- a - (a + c) * n1 / n; V <- n1 * n2 * (a + c) * (b + d) / (n^2 * (n - 1))
  ninv <- 1 / n; root <- 1 / sqrt(V)
  out <- function(m) { s <- coef(summary(m)); ci <- confint(m)
    list(k = length(a), slope = s[2, 1], se = s[2, 2], stat = s[2, 3], p = s[2, 4], lower = ci[2, 1], upper = ci[2, 2],
         limit = s[1, 1], limit_se = s[1, 2], limit_lower = ci[1, 1], limit_upper = ci[1, 2], df = m$df.residual) }
  y <- c(es$yi)
  list(kept = which(keep), yi = y, vi = c(es$vi), peters = out(lm(y ~ ninv, weights = 1 / (1 / (a + c) + 1 / (b + d)))),
       harbord = out(lm(I(Z / V) ~ root, weights = V)),
       egger_ninv = { f <- regtest(y, c(es$vi), ni = n, model = "lm", predictor = "ninv", ret.fit = TRUE)
         list(slope = coef(f$fit)[[2]], stat = f$zval, p = f$pval, limit = f$est[[1]]) },
       egger_ni_rma = { f <- regtest(y, c(es$vi), ni = n, model = "rma", predictor = "ni", ret.fit = TRUE)
         f2 <- rma(y, c(es$vi), mods = ~ n, control = tight(es$vi)); list(slope = f2$beta[2], se = f2$se[2], stat = f2$zval[2], p = f2$pval[2]) })
}

sets <- list()
names_of <- c("bcg_rr", "crins_or", "eight_schools", "furukawa_smd", "furukawa_smdh", "gibson_smd", "hackshaw_logor", "hine_or",
              "hine_rd", "normand_md", "normand_smd", "raudenbush_smd")
for (name in names_of) {
  d <- fromJSON(file.path(args[1], paste0(name, ".json"))); y <- d$yi; v <- d$vi
  begg <- function(correct) { # as ranktest computes its variables
    w <- 1 / v; z <- (y - weighted.mean(y, w)) / sqrt(v - 1 / sum(w))
    t <- suppressWarnings(cor.test(z, v, method = "kendall", exact = FALSE, continuity = correct)); list(stat = t$statistic[[1]], p = t$p.value) }
  r <- suppressWarnings(ranktest(y, v))
  s <- list(k = length(y), egger_lm = list(se = egger_lm(y, v, "sei"), variance = egger_lm(y, v, "vi")),
    egger_rma = list(), begg = list(tau = unname(r$tau), p = r$pval), begg_z = begg(FALSE), begg_zc = begg(TRUE), trimfill = list(), limit = list(), selection = list())
  for (m in c("REML", "ML", "DL", "EE", "HE", "SJ")) for (test in c("z", "knha")) {
    if (m == "EE" && test == "knha") next
    s$egger_rma[[paste(m, test)]] <- guard(egger_rma(y, v, m, test)) }
  s$egger_rma[["REML z variance"]] <- guard(egger_rma(y, v, "REML", "z", "vi"))
  for (e in c("L0", "R0", "Q0")) for (m in c("REML", "DL", "EE")) for (side in c(NA, "left", "right"))
    s$trimfill[[paste(e, m, if (is.na(side)) "auto" else side)]] <- guard(fill(y, v, e, m, side))
  for (m in c("REML", "DL")) s$limit[[m]] <- limit(y, v, m)
  f <- function(...) { g <- fsn(y, v, ...); list(n = g$fsnum, p = one(g$pval), mean = one(g$meanes), target = one(g$target)) }
  s$fsn <- list(rosenthal = f(type = "Rosenthal"), rosenthal_01 = f(type = "Rosenthal", alpha = 0.01), orwin = f(type = "Orwin"), orwin_weighted = f(type = "Orwin", weighted = TRUE),
    orwin_small = f(type = "Orwin", target = mean(y) / 7.3), rosenberg = f(type = "Rosenberg"))
  for (a in c("greater", "less", "two.sided")) for (steps in list(0.025, 0.05, c(0.025, 0.5), c(0.05, 0.1, 0.5)))
    s$selection[[paste(a, paste(steps, collapse = ","))]] <- guard(selection(y, v, steps, a))
  sets[[name]] <- s
  cat(name, length(s$selection), "selection models,", length(s$trimfill), "fills\n")
}
published <- list(Moore1998 = { # 37 trials of topical NSAIDs (R metasens, data set Moore1998; Moore 1998)
  raw <- data.frame(
    events_t = c(23,69,79,35,10,23,20,35,56,28,10,44,21,17,34,25,38,85,53,16,18,6,26,41,33,30,18,22,18,39,30,11,44,67,24,7,21),
    n_t = c(30,123,102,49,15,50,32,50,84,40,23,92,50,20,42,30,60,118,64,20,30,12,32,84,46,38,20,26,21,51,30,13,90,83,29,10,25),
    events_c = c(10,54,45,13,2,13,9,40,33,16,3,40,19,3,11,13,27,46,52,6,5,0,13,33,13,22,13,14,13,9,19,0,40,38,14,1,12),
    n_c = c(30,116,102,42,15,50,24,50,84,40,24,89,50,20,40,30,60,113,66,20,30,12,28,84,42,36,22,26,22,47,30,12,89,86,27,10,25))
  # the continuity correction of R meta: 0.5 in trials with a zero cell, which is escalc's default too
  es <- escalc("OR", ai = raw$events_t, n1i = raw$n_t, ci = raw$events_c, n2i = raw$n_c)
  list(raw = raw, yi = c(es$yi), vi = c(es$vi), limit = limit(c(es$yi), c(es$vi), "DL"), tests = counts_tests(raw)) })
cd <- fromJSON(file.path(args[1], "counts_metafor.json"))$sets
counted <- lapply(cd, function(s) c(list(raw = s$raw), counts_tests(s$raw)))
write_json(list(made_with = list(R = R.version.string, metafor = as.character(packageVersion("metafor")), numDeriv = as.character(packageVersion("numDeriv"))),
  sets = sets, published = published, counts = counted), args[2], digits = 15, auto_unbox = TRUE, na = "null", pretty = FALSE, dataframe = "columns")
