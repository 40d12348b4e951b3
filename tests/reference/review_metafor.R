# Effects and DerSimonian-Laird totals of the trials in tests/studies/formats/test_reviews.py.
# Run: Rscript tests/reference/review_metafor.R > tests/reference/review_metafor.json
suppressMessages(library(metafor))
total <- function(d) {
  fit <- rma(yi, vi, data = d, method = "DL")
  list(yi = as.numeric(d$yi), sei = sqrt(as.numeric(d$vi)), mean = as.numeric(fit$beta), se = fit$se, tau2 = fit$tau2)
}
falls <- escalc("OR", ai = c(4, 6, 9), n1i = c(40, 35, 60), ci = c(8, 9, 10), n2i = c(41, 36, 58))
quality <- escalc("SMD", m1i = c(62.1, 71.4, 66), sd1i = c(18.2, 16, 15.5), n1i = c(30, 44, 25),
                  m2i = c(55, 66.9, 64.2), sd2i = c(17.4, 15.1, 16.2), n2i = c(31, 40, 27))
weight <- escalc("SMD", m1i = c(80.1, 75.2), sd1i = c(9.5, 10.1), n1i = c(30, 28),
                 m2i = c(82.0, 76.3), sd2i = c(10.2, 9.7), n2i = c(29, 30))
survival <- data.frame(yi = c(-0.223143551314210, 0.0953101798043249), vi = c(0.12, 0.15)^2)
relapse <- data.frame(yi = c(-3.1 / 8.4, 1.2 / 6.6), vi = c(1 / 8.4, 1 / 6.6))
adhered <- escalc("RR", ai = 40 - c(10, 12), n1i = c(40, 40), ci = 38 - c(15, 16), n2i = c(38, 38))
out <- list(version = as.character(packageVersion("metafor")), falls = total(falls), quality = total(quality),
            weight = total(weight), survival = total(survival), relapse = total(relapse), adhered = total(adhered))
cat(jsonlite::toJSON(out, auto_unbox = TRUE, digits = NA, pretty = TRUE), "\n")
