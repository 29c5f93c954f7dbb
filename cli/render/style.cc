#include "cli/render/style.h"

namespace seedbed::cli {

std::string Paint(const Style& style, Color color, const std::string& text) {
  if (!style.color || text.empty()) return text;
  const char* code = nullptr;
  switch (color) {
    case Color::kNone:
      return text;
    case Color::kBold:
      code = "1";
      break;
    case Color::kDim:
      code = "2";
      break;
    case Color::kRed:
      code = "31";
      break;
    case Color::kGreen:
      code = "32";
      break;
    case Color::kYellow:
      code = "33";
      break;
    case Color::kCyan:
      code = "36";
      break;
  }
  return std::string("\x1b[") + code + "m" + text + "\x1b[0m";
}

Color ColorOfState(const std::string& state) {
  if (state == "failed" || state == "quarantined" || state == "deleting") return Color::kRed;
  if (state == "running") return Color::kCyan;
  if (state == "finished") return Color::kGreen;
  if (state == "paused" || state == "draining") return Color::kYellow;
  if (state == "cancelled" || state == "queued" || state == "gone") return Color::kDim;
  return Color::kNone;
}

Color ColorOfOutcome(const std::string& outcome) {
  if (outcome == "grokked" || outcome == "generalised") return Color::kGreen;
  if (outcome == "diverged") return Color::kRed;
  if (outcome == "memorised" || outcome == "not_memorised") return Color::kYellow;
  return Color::kNone;
}

}  // namespace seedbed::cli
