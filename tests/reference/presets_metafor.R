# What other programs print, rebuilt from metafor, base R and the formulas of their manuals, for tests/test_presets.py.
#   Rscript tests/reference/presets_metafor.R tests/reference/presets_metafor.json
# Arm data are read from the pinned references beside this file; `zero` and `empty` are made up.
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
folder <- dirname(args[1])
control <- list(threshold = 1e-13, maxiter = 10000, tol = 1e-14, tau2.max = 1e6)
raw <- function(name, rows = NULL) {
  d <- fromJSON(file.path(folder, paste0(name, ".json")))$raw
  if (is.null(rows)) d else d[rows, ]
}
zero <- data.frame(events_t = c(0, 3, 5, 9, 2, 14), n_t = c(30, 41, 38, 60, 25, 90),
  events_c = c(4, 7, 0, 15, 6, 20), n_c = c(31, 40, 39, 58, 27, 88))
empty <- rbind(zero, data.frame(events_t = c(0, 12), n_t = c(20, 12), events_c = c(0, 15), n_c = c(24, 15)))
sets <- list(
  normand = list(measure = "SMD", raw = raw("normand_smd")),
  furukawa = list(measure = "SMD", raw = raw("furukawa_smd")),
  gibson = list(measure = "SMD", raw = raw("gibson_smd")),
  furukawa_three = list(measure = "SMD", raw = raw("furukawa_smd", 1:3)),
  furukawa_five = list(measure = "SMD", raw = raw("furukawa_smd", 5:9)),
  bcg = list(measure = "RR", raw = raw("bcg_rr")),
  hine = list(measure = "OR", raw = raw("hine_or")),
  crins = list(measure = "OR", raw = raw("crins_or")),
  zero = list(measure = "OR", raw = zero),
  zero_rd = list(measure = "RD", raw = zero),
  empty = list(measure = "OR", raw = empty),
  empty_rr = list(measure = "RR", raw = empty),
  empty_rd = list(measure = "RD", raw = empty))

# effect sizes as each program makes them: yi and vi
sizes <- function(set, preset) {
  d <- set$raw
  if (set$measure != "SMD") {
    # RevMan and R meta leave out trials without events, and with nothing else, from odds and risk ratios
    keeps <- preset %in% c("bayesmeta", "metafor", "stata") || set$measure == "RD"
    e <- escalc(measure = set$measure, ai = d$events_t, n1i = d$n_t, ci = d$events_c, n2i = d$n_c, add = 1/2, to = "only0",
      drop00 = !keeps)
    e <- e[!is.na(e$yi), ]
    return(list(yi = as.vector(e$yi), vi = as.vector(e$vi)))
  }
  if (preset %in% c("metafor", "bayesmeta", "iqwig6", "iqwig8", "meta")) {
    e <- escalc(measure = "SMD", m1i = d$mean_t, sd1i = d$sd_t, n1i = d$n_t, m2i = d$mean_c, sd2i = d$sd_c, n2i = d$n_c,
      vtype = if (preset %in% c("metafor", "bayesmeta")) "LS" else "UB")
    return(list(yi = as.vector(e$yi), vi = as.vector(e$vi)))
  }
  N <- d$n_t + d$n_c
  s <- sqrt(((d$n_t - 1) * d$sd_t^2 + (d$n_c - 1) * d$sd_c^2) / (N - 2))
  g <- (1 - 3 / (4 * N - 9)) * (d$mean_t - d$mean_c) / s
  if (preset == "stata") return(list(yi = g, vi = 1 / d$n_t + 1 / d$n_c + g^2 / (2 * N)))
  list(yi = g, vi = N / (d$n_t * d$n_c) + g^2 / (2 * (N - 3.94)))
}
from_q <- function(f) max(0, 100 * (f$QE - (f$k - 1)) / f$QE)
report <- function(f, i2, lower = as.vector(f$ci.lb), upper = as.vector(f$ci.ub), p = f$pval, pi = c(NA, NA), common = FALSE)
  list(estimate = as.vector(f$beta), lower = lower, upper = upper, p = as.vector(p), tau = sqrt(f$tau2), i2 = i2,
    pi_lower = pi[1], pi_upper = pi[2], common = common)
around <- function(f, se, df) as.vector(f$beta) + c(-1, 1) * qt(0.975, df) * sqrt(se^2 + f$tau2)
answers <- list(
  bayesmeta = function(yi, vi) {
    f <- rma(yi, vi, method = "REML", test = "knha", control = control)
    x <- predict(f); report(f, f$I2, pi = c(x$pi.lb, x$pi.ub))
  },
  revman5 = function(yi, vi) {f <- rma(yi, vi, method = "DL"); report(f, from_q(f))},
  revman2025 = function(yi, vi) {
    f <- rma(yi, vi, method = "REML", test = "knha", control = control)
    x <- predict(f); report(f, f$I2, pi = c(x$pi.lb, x$pi.ub))
  },
  stata = function(yi, vi) {
    f <- rma(yi, vi, method = "REML", control = control)
    report(f, f$I2, pi = if (f$k > 2) around(f, f$se, f$k - 2) else c(NA, NA))
  },
  iqwig6 = function(yi, vi) {
    f <- rma(yi, vi, method = "PM", test = "knha", control = control)
    classic <- rma(yi, vi, tau2 = f$tau2)
    dl <- rma(yi, vi, method = "DL")
    narrower <- (f$ci.ub - f$ci.lb) < (dl$ci.ub - dl$ci.lb)
    se <- if (narrower) classic$se else f$se
    half <- qt(0.975, f$k - 1) * se
    b <- as.vector(f$beta)
    c(report(f, from_q(f), b - half, b + half, 2 * pt(-abs(b / se), f$k - 1), around(f, classic$se, f$k - 1)),
      list(narrower = narrower))
  },
  metafor = function(yi, vi) {
    f <- rma(yi, vi, method = "REML", control = control)
    x <- predict(f); report(f, f$I2, pi = c(x$pi.lb, x$pi.ub))
  },
  meta = function(yi, vi) {
    f <- rma(yi, vi, method = "REML", control = control)
    report(f, from_q(f), pi = around(f, f$se, f$k - 1))
  },
  i2_rule = function(yi, vi) {
    f <- rma(yi, vi, method = "DL"); i2 <- from_q(f)
    if (i2 <= 50) report(rma(yi, vi, method = "EE"), i2, common = TRUE) else report(f, i2)
  })
answers$iqwig8 <- answers$iqwig6
result <- lapply(sets, function(set) list(measure = set$measure, raw = set$raw, presets = lapply(
  setNames(names(answers), names(answers)), function(name) {
    e <- sizes(set, name)
    c(list(yi = e$yi, vi = e$vi), answers[[name]](e$yi, e$vi))
  })))
write_json(list(
  made_with = paste0(R.version.string, ", metafor ", packageVersion("metafor")),
  tolerance = "1e-6 relative: metafor's tau2 is iterated to 1e-13; DL and the formulas of effect sizes are closed",
  sets = result), args[1], digits = NA, auto_unbox = TRUE, na = "null", pretty = TRUE)
