#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace seedbed::fuzz {

// One call of ours as bytes on the wire.
struct Call {
  std::string method;   // "SweepService/ListRuns"
  std::string request;  // serialised, perhaps broken; of Side::kAnswers the answer
};

// Which of a call's messages a text has.
enum class Side { kRequests, kAnswers };

// Reads calls from text, so that a corpus can be read and mutated by lines:
//   == SweepService/ListRuns
//   sweep: "last" limit: 3
// The lines up to the next "==" are the request in protobuf's text format. "== METHOD 17 255" changes the serialised
// request's byte 17 (modulo its length) by XOR with 255. What cannot be read is passed over, but a name that no method
// has stands for one of them, so that mutations come to methods that the corpus does not have.
std::vector<Call> CallsOf(const uint8_t* data, size_t size, Side side = Side::kRequests);

// All of both services, as a call names them.
std::vector<std::string> MethodNames();

// Whether the request is a message of the kind that the method takes.
bool Parses(const Call& call);

}  // namespace seedbed::fuzz
