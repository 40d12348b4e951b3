# Two outcomes of five trials of periodontal treatment, by metafor's rma.mv with an unstructured covariance.
#   Rscript tests/reference/joint_metafor.R tests/reference/joint_metafor.json
# Berkey CS et al. Stat Med 1998;17:2537-2550: improvement of probing depth (PD) and attachment level (AL).
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
d <- dat.berkey1998
V <- bldiag(lapply(split(d[, c("v1i", "v2i")], d$trial), as.matrix))
fit <- function(method) {
  f <- rma.mv(yi, V, mods = ~ outcome - 1, random = ~ outcome | trial, struct = "UN", data = d, method = method)
  # metafor orders outcomes by name: AL first
  list(estimate = rev(c(f$b)), se = rev(f$se), tau2 = rev(f$tau2), rho = f$rho, loglik = as.numeric(logLik(f)))
}
S <- lapply(split(d, d$trial), function(t) as.matrix(t[, c("v1i", "v2i")]))
out <- list(made_with = list(R = R.version.string, metafor = as.character(packageVersion("metafor"))),
  tolerance = "estimate, tau2, rho 1e-4 (its optimiser); loglik 1e-6", label = unique(d$author), outcomes = c("PD", "AL"),
  y = matrix(d$yi, ncol = 2, byrow = TRUE), S = unname(lapply(S, unname)), ML = fit("ML"), REML = fit("REML"))
write_json(out, args[1], digits = 12, auto_unbox = TRUE, pretty = TRUE)
print(out$ML); print(out$REML); print(out$S[[1]])
