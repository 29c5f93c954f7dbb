#pragma once

namespace seedbed::cli {

// The payload of an UNAVAILABLE that means that no coordinator answers. The files of a data directory can be
// unavailable too, locked or on a failing disk, and then nothing is to be started or reached.
constexpr char kNobodyAnswers[] = "seedbed/nobody-answers";

}  // namespace seedbed::cli
