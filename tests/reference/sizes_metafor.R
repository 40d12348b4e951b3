# Effect sizes from what papers print, by metafor's escalc (3.8-1).
#   Rscript tests/reference/sizes_metafor.R tests/reference/sizes_metafor.json
#
# d, t, F and p of two groups become means d and 0 with SDs 1, because this escalc takes no statistics. p has the sign of
# the difference. "deff" is the trial of the Cochrane Handbook 23.1.4 (63/295 v 84/330, ICC 0.02, clusters of 29.8), with
# events and people divided by the design effect.
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
n1 <- c(20, 35, 12); n2 <- c(22, 30, 15)
d <- c(-0.45, 0.62, 1.1); t <- c(-1.7, 2.4, 0.8); p <- c(-0.04, 0.012, 0.6); f <- c(4.41, 6.25, 0.3)
pair <- function(x) list(y = as.numeric(x$yi), v = as.numeric(x$vi))
of_d <- function(d) pair(escalc("SMD", m1i = d, m2i = 0 * d, sd1i = 1 + 0 * d, sd2i = 1 + 0 * d, n1i = n1, n2i = n2))
of_t <- function(t) of_d(t * sqrt(1 / n1 + 1 / n2))
m1 <- c(10, 24, 5.5); m2 <- c(12, 21, 6); s1 <- c(4, 6, 1.5); s2 <- c(5, 6, 2.5); n <- c(24, 16, 40); r <- c(0.6, 0.3, 0.85)
paired <- function(measure) pair(escalc(measure, m1i = m1, m2i = m2, sd1i = s1, sd2i = s2, ni = n, ri = r))
a <- c(12, 30); b <- c(40, 55); cc <- c(20, 26); dd <- c(33, 60)
cells <- function(measure) pair(escalc(measure, ai = a, bi = b, ci = cc, di = dd))
deff <- 1 + (29.8 - 1) * 0.02
divided <- function(measure) {
  x <- escalc(measure, ai = 63 / deff, n1i = 295 / deff, ci = 84 / deff, n2i = 330 / deff)
  pair(x)
}
means <- function(measure) pair(escalc(measure, m1i = m1, m2i = m2, sd1i = s1, sd2i = s2, n1i = n, n2i = n))
result <- list(
  r = R.version.string, metafor = as.character(packageVersion("metafor")),
  input = list(n1 = n1, n2 = n2, d = d, t = t, p = p, f = f, m1 = m1, m2 = m2, s1 = s1, s2 = s2, n = n, r = r,
               a = a, b = b, c = cc, d2 = dd),
  from_d = of_d(d), from_t = of_t(t), from_f = of_t(c(-1, 1, 1) * sqrt(f)),
  from_p = of_t(sign(p) * qt(1 - abs(p) / 2, n1 + n2 - 2)),
  mc = paired("MC"), or = cells("OR"), or2dl = cells("OR2DL"), d2orl = means("D2ORL"), rpb = means("RPB"),
  deff = sapply(c("OR", "RR", "RD"), divided, simplify = FALSE))
write(toJSON(result, digits = I(15), auto_unbox = TRUE, pretty = TRUE), args[1])
