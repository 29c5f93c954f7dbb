#include "tests/fuzz/messages.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/text_format.h>

#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "seedbed/v1/sweep_service.pb.h"
#include "seedbed/v1/worker_service.pb.h"

namespace seedbed::fuzz {
namespace {

namespace pb = google::protobuf;

class SilentErrors final : public pb::io::ErrorCollector {
 public:
  void AddError(int, pb::io::ColumnNumber, const std::string&) override {}
};

std::string NameOf(const pb::MethodDescriptor& method) {
  return absl::StrCat(method.service()->name(), "/", method.name());
}

const std::vector<const pb::MethodDescriptor*>& Methods() {
  // Names the generated code, so that the linker keeps its descriptors.
  v1::SynchronizeRequest::descriptor();
  v1::QueryRequest::descriptor();
  static const auto& methods = *new std::vector<const pb::MethodDescriptor*>([] {
    std::vector<const pb::MethodDescriptor*> found;
    for (const char* name : {"seedbed.v1.SweepService", "seedbed.v1.WorkerService"}) {
      const pb::ServiceDescriptor* service = pb::DescriptorPool::generated_pool()->FindServiceByName(name);
      for (int i = 0; service != nullptr && i < service->method_count(); ++i) found.push_back(service->method(i));
    }
    return found;
  }());
  return methods;
}

const pb::MethodDescriptor* FindMethod(const std::string& name) {
  for (const pb::MethodDescriptor* method : Methods()) {
    if (NameOf(*method) == name) return method;
  }
  uint64_t sum = 0;
  for (const char c : name) sum = sum * 31 + static_cast<unsigned char>(c);
  return Methods().empty() ? nullptr : Methods()[sum % Methods().size()];
}

// False without a method's name.
bool ReadCall(const std::string& header, const std::string& body, Side side, Call* call) {
  const std::vector<std::string> words = absl::StrSplit(header, ' ', absl::SkipEmpty());
  const pb::MethodDescriptor* method = words.empty() ? nullptr : FindMethod(words[0]);
  if (method == nullptr) return false;
  const pb::Message* prototype = pb::MessageFactory::generated_factory()->GetPrototype(
      side == Side::kRequests ? method->input_type() : method->output_type());
  if (prototype == nullptr) return false;
  const std::unique_ptr<pb::Message> message(prototype->New());
  pb::TextFormat::Parser parser;
  SilentErrors silent;
  parser.RecordErrorsTo(&silent);
  parser.SetRecursionLimit(50);
  parser.AllowPartialMessage(true);
  (void)parser.ParseFromString(body, message.get());  // what stands before a mistake counts
  call->method = NameOf(*method);
  call->request = message->SerializePartialAsString();
  for (size_t i = 1; i + 1 < words.size() && !call->request.empty(); i += 2) {
    uint32_t at = 0;
    uint32_t change = 0;
    if (!absl::SimpleAtoi(words[i], &at) || !absl::SimpleAtoi(words[i + 1], &change)) continue;
    char& byte = call->request[at % call->request.size()];
    byte = static_cast<char>(byte ^ change);
  }
  return true;
}

}  // namespace

std::vector<Call> CallsOf(const uint8_t* data, size_t size, Side side) {
  constexpr size_t kMostCalls = 64;
  static const bool quiet = pb::SetLogHandler(nullptr) != nullptr;
  (void)quiet;
  std::vector<Call> calls;
  std::string header;
  std::string body;
  const auto finish = [&] {
    Call call;
    if (!header.empty() && calls.size() < kMostCalls && ReadCall(header, body, side, &call))
      calls.push_back(std::move(call));
    body.clear();
  };
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const absl::string_view piece : absl::StrSplit(text, '\n')) {
    const std::string line(piece);
    if (line.rfind("== ", 0) == 0) {
      finish();
      header = line.substr(3);
    } else {
      absl::StrAppend(&body, line, "\n");
    }
  }
  finish();
  return calls;
}

std::vector<std::string> MethodNames() {
  std::vector<std::string> names;
  for (const pb::MethodDescriptor* method : Methods()) names.push_back(NameOf(*method));
  return names;
}

bool Parses(const Call& call) {
  const pb::MethodDescriptor* method = FindMethod(call.method);
  if (method == nullptr) return false;
  const std::unique_ptr<pb::Message> message(
      pb::MessageFactory::generated_factory()->GetPrototype(method->input_type())->New());
  return message->ParseFromString(call.request);
}

}  // namespace seedbed::fuzz
