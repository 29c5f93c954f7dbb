// Runs a fuzz target without libFuzzer: every file of its corpus, then inputs made of them by a fixed sequence of
// mutations for some seconds. An input that crashes the target, or keeps it busy for too long, is left in ./crash-PID.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace seedbed::fuzz {
namespace {

constexpr size_t kLongestInput = 1 << 16;
constexpr unsigned kMostSeconds = 60;  // for one input

// The input that is being tried, for the handler.
const std::string* current = nullptr;
char crash_path[64];

void KeepInput(int signal_number) {
  const int file = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0 && current != nullptr) {
    (void)!write(file, current->data(), current->size());
    close(file);
  }
  const char text[] = "the input is kept in ";
  (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
  (void)!write(STDERR_FILENO, crash_path, std::strlen(crash_path));
  (void)!write(STDERR_FILENO, "\n", 1);
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void HandleSignals() {
  // What nests too deeply leaves no room on the stack itself.
  static char room[1 << 16];
  stack_t stack = {};
  stack.ss_sp = room;
  stack.ss_size = sizeof(room);
  sigaltstack(&stack, nullptr);
  std::vector<int> signals = {SIGABRT, SIGALRM};
#ifndef __SANITIZE_ADDRESS__  // which reports the others, and aborts
  signals.insert(signals.end(), {SIGSEGV, SIGFPE, SIGBUS, SIGILL});
#endif
  struct sigaction action = {};
  action.sa_handler = &KeepInput;
  action.sa_flags = SA_ONSTACK;
  for (const int each : signals) sigaction(each, &action, nullptr);
}

void Try(const std::string& input) {
  current = &input;
  alarm(kMostSeconds);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

class Mutator {
 public:
  explicit Mutator(std::vector<std::string> corpus) : corpus_(std::move(corpus)) {
    for (const std::string& text : corpus_) {
      for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find_first_of(" \n\t,:{}[]\"", begin), text.size());
        if (end > begin) words_.push_back(text.substr(begin, end - begin));
        begin = end + 1;
      }
    }
    for (const char* word : {"0", "-1", "9223372036854775807", "-9223372036854775808", "1e308", "nan", "null", "\"\"",
                             "18446744073709551616", "\xff", "{", "[", "*"}) {
      words_.emplace_back(word);
    }
  }

  std::string Next() {
    std::string text = AnyOf(corpus_);
    for (size_t changes = 1 + Below(6); changes > 0; --changes) Change(&text);
    if (text.size() > kLongestInput) text.resize(kLongestInput);
    return text;
  }

 private:
  size_t Below(size_t end) { return end == 0 ? 0 : random_() % end; }
  const std::string& AnyOf(const std::vector<std::string>& from) { return from[Below(from.size())]; }
  // A piece of whole lines, or of any bytes.
  std::string PieceOf(const std::string& text) {
    size_t begin = Below(text.size());
    size_t size = 1 + Below(40);
    if (Below(2) == 0) {
      begin = text.rfind('\n', begin) == std::string::npos ? 0 : text.rfind('\n', begin) + 1;
      const size_t end = text.find('\n', begin);
      size = end == std::string::npos ? std::string::npos : end + 1 - begin;
    }
    return begin < text.size() ? text.substr(begin, size) : "";
  }

  void Change(std::string* text) {
    const size_t at = Below(text->size() + 1);
    switch (Below(8)) {
      case 0:
        if (at < text->size()) (*text)[at] = static_cast<char>((*text)[at] ^ (1 << Below(8)));
        break;
      case 1:
        if (at < text->size()) (*text)[at] = static_cast<char>(random_());
        break;
      case 2:
        text->erase(at, 1 + Below(8));
        break;
      case 3:
        text->insert(at, AnyOf(words_));
        break;
      case 4: {  // a word for another
        const size_t begin = text->find_first_not_of(" \n\t,:{}[]\"", at);
        if (begin == std::string::npos) break;
        const size_t end = std::min(text->find_first_of(" \n\t,:{}[]\"", begin), text->size());
        text->replace(begin, end - begin, AnyOf(words_));
        break;
      }
      case 5:
        text->insert(at, PieceOf(*text));
        break;
      case 6:
        text->insert(at, PieceOf(AnyOf(corpus_)));
        break;
      default: {
        const std::string piece = PieceOf(*text);
        const size_t found = text->find(piece);
        if (found != std::string::npos) text->erase(found, piece.size());
      }
    }
  }

  std::mt19937_64 random_{1};
  const std::vector<std::string> corpus_;
  std::vector<std::string> words_;
};

int Main(const std::vector<std::string>& arguments) {
  double seconds = 0;
  std::vector<std::string> paths;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--seconds" && i + 1 < arguments.size()) {
      seconds = std::atof(arguments[++i].c_str());
    } else if (std::filesystem::is_directory(arguments[i])) {
      for (const auto& each : std::filesystem::directory_iterator(arguments[i])) paths.push_back(each.path().string());
    } else {
      paths.push_back(arguments[i]);
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const std::string& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "usage: TARGET [--seconds S] CORPUS...\n");
    return 2;
  }
  std::snprintf(crash_path, sizeof(crash_path), "crash-%d", static_cast<int>(getpid()));
  HandleSignals();
  for (const std::string& input : corpus) Try(input);
  Mutator mutator(corpus);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  int64_t tried = 0;
  for (; tried == 0 || std::chrono::steady_clock::now() < end; ++tried) Try(mutator.Next());
  std::printf("%zu inputs of the corpus and %lld made from them\n", corpus.size(), static_cast<long long>(tried));
  return 0;
}

}  // namespace
}  // namespace seedbed::fuzz

int main(int argc, char** argv) {
  return seedbed::fuzz::Main(std::vector<std::string>(argv + 1, argv + argc));
}
