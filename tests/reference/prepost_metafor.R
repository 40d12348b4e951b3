# Pre-post trials: standardised mean changes of two arms, by metafor's escalc("SMCR"), over the pre-post correlation.
#   Rscript tests/reference/prepost_metafor.R tests/reference/prepost_metafor.json
#
# Five trials of training: Morris SB. Organ Res Methods 2008;11:364-386 (doi:10.1177/1094428106291059), from Carlson and
# Schmidt 1999, as the metafor project prints them (www.metafor-project.org/doku.php/analyses:morris2008) and as its test
# test_analysis_example_morris2008.r holds them, with yi, vi of the arms to four digits ("published"). Each arm: g = J(n - 1) (m_post - m_pre) / sd_pre, with variance
# 2 (1 - r) / n + g^2 / (2 n); a trial is the difference of its arms, with the sum of their variances.
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
treated <- data.frame(
  m_pre = c(30.6, 23.5, 0.5, 53.4, 35.6), m_post = c(38.5, 26.8, 0.7, 75.9, 36.0),
  sd_pre = c(15.0, 3.1, 0.1, 14.5, 4.7), sd_post = c(11.6, 4.1, 0.1, 4.4, 4.6),
  n = c(20, 50, 9, 10, 14), r = c(0.47, 0.64, 0.77, 0.89, 0.44))
control <- data.frame(
  m_pre = c(23.1, 24.9, 0.6, 55.7, 34.8), m_post = c(19.7, 25.3, 0.6, 60.7, 33.4),
  sd_pre = c(13.8, 4.1, 0.2, 17.3, 3.1), sd_post = c(14.8, 3.3, 0.2, 17.9, 6.9),
  n = c(20, 42, 9, 11, 14), r = c(0.47, 0.64, 0.77, 0.89, 0.44))
at <- function(r) {
  arm <- function(d) {
    if (!is.na(r)) d$r <- r
    escalc("SMCR", m1i = d$m_post, m2i = d$m_pre, sd1i = d$sd_pre, ni = d$n, ri = d$r)
  }
  a <- arm(treated); b <- arm(control)
  yi <- c(a$yi - b$yi); vi <- a$vi + b$vi
  change <- function(d) sqrt(d$sd_pre^2 + d$sd_post^2 - 2 * (if (is.na(r)) d$r else r) * d$sd_pre * d$sd_post)
  fits <- lapply(c(EE = "EE", DL = "DL", REML = "REML"), function(m) {
    f <- rma(yi, vi, method = m, control = list(threshold = 1e-12, maxiter = 1000))
    list(estimate = c(f$b), se = f$se, tau2 = f$tau2, Q = f$QE) })
  list(r = if (is.na(r)) "as reported" else r, yi = yi, vi = vi, sd_change_t = change(treated), sd_change_c = change(control),
       fits = fits)
}
out <- list(made_with = list(R = R.version.string, metafor = as.character(packageVersion("metafor"))),
  published = list(yi_t = c(0.5056, 1.0481, 1.8054, 1.4181, 0.0801), vi_t = c(0.0594, 0.0254, 0.2322, 0.1225, 0.0802),
    yi_c = c(-0.2365, 0.0958, 0.0000, 0.2667, -0.4250)),
  tolerance = "yi, vi, EE, DL 1e-9; REML 1e-6", treated = treated, control = control,
  cases = lapply(c(NA, 0, 0.25, 0.5, 0.75, 0.9), at))
write_json(out, args[1], digits = 12, auto_unbox = TRUE, na = "null", pretty = TRUE, dataframe = "columns")
for (c in out$cases) cat(c$r, round(c$yi, 4), round(c$vi, 4), sapply(c$fits, function(f) sprintf("%.4f (%.4f)", f$estimate, f$se)), "\n")
