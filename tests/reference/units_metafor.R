# Absolute risks and optimal information sizes from metafor and base R, for tests/test_units.py.
#   Rscript tests/reference/units_metafor.R tests/reference/units_metafor.json
# Effects are read from the pinned references beside this file.
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
folder <- dirname(args[1])
from <- list(OR = "hine_or", RR = "bcg_rr", RD = "hine_rd")
with_treatment <- list(
  OR = function(x, p0) plogis(qlogis(p0) + x), RR = function(x, p0) p0 * exp(x), RD = function(x, p0) p0 + x,
  HR = function(x, p0) 1 - (1 - p0)^exp(x))
risks <- list()
for (measure in c("OR", "RR", "RD", "HR")) {
  # hazard ratios: the same log ratios as the risk ratios, read as hazard ratios
  d <- fromJSON(file.path(folder, paste0(from[[if (measure == "HR") "RR" else measure]], ".json")))
  fit <- rma(d$yi, d$vi, method = "EE")
  for (p0 in c(0.02, 0.1, 0.4)) {
    p <- predict(fit, transf = with_treatment[[measure]], targs = p0)
    risks[[length(risks) + 1]] <- list(measure = measure, baseline = p0, risk = p$pred, lower = p$ci.lb, upper = p$ci.ub)
  }
}
binary <- list()
for (p1 in c(0.05, 0.2, 0.5)) for (rrr in c(0.2, 0.25, -0.25)) for (power in c(0.8, 0.9))
  binary[[length(binary) + 1]] <- list(control = p1, reduction = rrr, power = power,
    total = 2 * power.prop.test(p1 = p1, p2 = p1 * (1 - rrr), power = power, tol = 1e-13)$n)
continuous <- list()
for (delta in c(0.2, 0.35, 0.5)) for (power in c(0.8, 0.9))
  continuous[[length(continuous) + 1]] <- list(delta = delta, power = power,
    total = 4 * (qnorm(0.975) + qnorm(power))^2 / delta^2)
write_json(list(
  made_with = paste0(R.version.string, ", metafor ", packageVersion("metafor")),
  tolerance = "closed forms; power.prop.test iterates to 1e-13 and leaves out the other tail",
  risks = risks, binary = binary, continuous = continuous), args[1], digits = NA, auto_unbox = TRUE, pretty = TRUE)
