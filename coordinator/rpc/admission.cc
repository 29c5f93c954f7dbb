#include "coordinator/rpc/admission.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>

#include <string>

namespace seedbed {
namespace {

absl::string_view ViewOf(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

// A grpc_auth_metadata_processor: called on gRPC's own threads, and does not block.
void Admit(void* authenticator, grpc_auth_context*, const grpc_metadata* metadata, size_t count,
           grpc_process_auth_metadata_done_cb done, void* user_data) {
  absl::string_view path;
  absl::string_view authorization;
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view key = ViewOf(metadata[i].key);
    if (key == ":path") path = ViewOf(metadata[i].value);
    if (key == "authorization" && authorization.empty()) authorization = ViewOf(metadata[i].value);
  }
  const absl::Status status = static_cast<const Authenticator*>(authenticator)->Admit(authorization, path);
  done(user_data, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(status.code()),
       status.ok() ? nullptr : std::string(status.message()).c_str());
}

grpc_server_credentials* MakeTls(const TlsPems& tls) {
  grpc_ssl_pem_key_cert_pair pair = {tls.key.c_str(), tls.certificate.c_str()};
  return grpc_ssl_server_credentials_create_ex(tls.ca.empty() ? nullptr : tls.ca.c_str(), &pair, 1,
                                               tls.ca.empty()
                                                   ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                   : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY,
                                               nullptr);
}

// gRPC's own C++ credentials without TLS take no processor; its C interface does.
class Credentials final : public grpc::ServerCredentials {
 public:
  Credentials(const TlsPems& tls, const Authenticator* authenticator)
      : handle_(tls.empty() ? grpc_insecure_server_credentials_create() : MakeTls(tls)) {
    grpc_server_credentials_set_auth_metadata_processor(
        handle_, {&Admit, /*destroy=*/nullptr, const_cast<Authenticator*>(authenticator)});
  }
  ~Credentials() override { grpc_server_credentials_release(handle_); }
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), handle_);
  }

  grpc_server_credentials* const handle_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> AdmittingCredentials(const TlsPems& tls, const Authenticator* authenticator) {
  return std::make_shared<Credentials>(tls, authenticator);
}

}  // namespace seedbed
