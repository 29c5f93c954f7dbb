#include "common/secrets/random_text.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

namespace seedbed {

std::string RandomHex(int bytes) {
  std::vector<unsigned char> random(static_cast<size_t>(bytes));
  size_t filled = 0;
  while (filled < random.size()) {
    const ssize_t got = getrandom(random.data() + filled, random.size() - filled, 0);
    // Without random numbers a token would be guessable: there is nothing sensible to go on with.
    if (got < 0 && errno != EINTR) std::abort();
    if (got > 0) filled += static_cast<size_t>(got);
  }
  static const char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(random.size() * 2);
  for (const unsigned char byte : random) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace seedbed
