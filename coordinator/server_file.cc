#include "coordinator/server_file.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/secrets/private_file.h"

namespace seedbed {
namespace {

std::string PathOf(const std::string& data_directory) {
  return data_directory + "/coordinator.json";
}

}  // namespace

absl::Status WriteServerFile(const std::string& data_directory, const ServerFile& content) {
  Json json = Json::object();
  json["addresses"] = content.addresses;
  json["pid"] = content.pid;
  json["version"] = content.version;
  json["database_id"] = content.database_id;
  json["token_file"] = content.token_file;
  json["tls"] = content.tls;
  json["http"] = content.http;
  return WritePrivateFile(PathOf(data_directory), json.dump(2) + "\n");
}

absl::StatusOr<std::optional<ServerFile>> ReadServerFile(const std::string& data_directory) {
  const std::string path = PathOf(data_directory);
  // It says where a token is, and to whom it is sent.
  bool strangers = false;
  const absl::StatusOr<std::string> text = ReadPrivateFile(path, &strangers);
  if (absl::IsNotFound(text.status())) return std::optional<ServerFile>();
  if (!text.ok()) {
    return absl::Status(
        text.status().code(),
        absl::StrCat(text.status().message(),
                     "\nName the coordinator with --server HOST:PORT, or another directory with --data."));
  }
  SEEDBED_ASSIGN_OR_RETURN(const Json json, ParseJson(*text, path));
  ServerFile content;
  content.strangers = strangers;
  const auto string_at = [&json](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto addresses = json.is_object() ? json.find("addresses") : json.end();
  const auto pid = json.is_object() ? json.find("pid") : json.end();
  if (!json.is_object() || addresses == json.end() || !addresses->is_array() || pid == json.end() ||
      !pid->is_number_integer()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " does not say where the coordinator is; remove it"));
  }
  for (const Json& address : *addresses) {
    if (address.is_string()) content.addresses.push_back(address.get<std::string>());
  }
  content.pid = pid->get<int64_t>();
  content.version = string_at("version");
  content.database_id = string_at("database_id");
  content.token_file = string_at("token_file");
  content.tls = json.value("tls", Json()) == true;
  content.http = string_at("http");
  return std::optional<ServerFile>(std::move(content));
}

void RemoveServerFile(const std::string& data_directory) {
  unlink(PathOf(data_directory).c_str());
}

}  // namespace seedbed
