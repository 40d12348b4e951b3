# Rates and measures of one arm by metafor; writes the JSON beside it:
#   Rscript tests/reference/single_arm_metafor.R tests/reference/single_arm_metafor.json
suppressMessages({library(metafor); library(lme4); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
made <- function(e) list(yi = as.numeric(e$yi), vi = as.numeric(e$vi))
# catheter infections per 1000 catheter days, and three tables with zeros
d <- rbind(dat.nielweise2008[c("x1i", "t1i", "x2i", "t2i")],
  data.frame(x1i = c(0, 2, 0), t1i = c(1.2, 0.9, 0.5), x2i = c(3, 0, 0), t2i = c(1.1, 1, 0.6)))
irr <- list(x1i = d$x1i, t1i = d$t1i, x2i = d$x2i, t2i = d$t2i)
irr$half <- made(escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = d))
irr$half_all <- made(escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = d, to = "all"))
reml <- rma(irr$half$yi, irr$half$vi, test = "knha")
irr$reml <- list(b = as.numeric(reml$b), ci.lb = reml$ci.lb, ci.ub = reml$ci.ub, tau2 = reml$tau2)
p <- dat.pritz1997      # cerebral aneurysm: deterioration after hyperdynamic therapy
zeros <- data.frame(xi = c(3, 0, 7, 12, 1, 15), ni = c(20, 15, 40, 50, 25, 15))
plo <- list(xi = zeros$xi, ni = zeros$ni, half = made(escalc("PLO", xi = xi, ni = ni, data = zeros)),
  half_all = made(escalc("PLO", xi = xi, ni = ni, data = zeros, to = "all")))
glmm <- function(x, n) {
  found <- rma.glmm(measure = "PLO", xi = x, ni = n, method = "ML", nAGQ = 61)
  id <- factor(seq_along(x))
  laplace <- glmer(cbind(x, n - x) ~ 1 + (1 | id), family = binomial, nAGQ = 1)
  list(xi = x, ni = n, b = as.numeric(found$b), tau2 = found$tau2, ll = found$fit.stats["ll", "ML"],
    laplace = as.numeric(logLik(laplace)))
}
out <- list(version = as.character(packageVersion("metafor")), irr = irr, plo = plo,
  glmm = list(pritz1997 = glmm(p$xi, p$ni), zeros = glmm(zeros$xi, zeros$ni)),
  mn = c(list(mi = c(31.2, 28.4, 35.0), sdi = c(10.1, 8.2, 12.5), ni = c(25, 40, 18)),
    made(escalc("MN", mi = c(31.2, 28.4, 35.0), sdi = c(10.1, 8.2, 12.5), ni = c(25, 40, 18)))),
  irln = c(list(xi = c(10, 0, 4), ti = c(1000, 500, 250.5)), made(escalc("IRLN", xi = c(10, 0, 4), ti = c(1000, 500, 250.5)))))
write(toJSON(out, digits = 15, auto_unbox = TRUE), args[1])
