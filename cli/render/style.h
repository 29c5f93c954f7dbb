#pragma once

#include <string>

namespace seedbed::cli {

enum class Color { kNone, kBold, kDim, kRed, kGreen, kYellow, kCyan };

// How text may look where it goes.
struct Style {
  bool color = false;  // escape sequences for colour are welcome
  int width = 0;       // columns of the terminal; 0: no terminal, so nothing is cut or shrunk
};

// `text` in `color`, or as it is where the style has no colour.
std::string Paint(const Style& style, Color color, const std::string& text);

// The colour that stands for a run's state or outcome everywhere.
Color ColorOfState(const std::string& state);
Color ColorOfOutcome(const std::string& outcome);

}  // namespace seedbed::cli
