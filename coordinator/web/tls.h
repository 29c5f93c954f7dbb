#pragma once

#include <openssl/ssl.h>

#include <memory>

#include "absl/status/statusor.h"
#include "common/secrets/pem_files.h"

namespace seedbed {

// What HTTPS connections are made from: TLS 1.2 or newer, with the certificate of `pems`; with its `ca`, only clients
// that show a certificate of it. Null without a certificate.
absl::StatusOr<std::shared_ptr<SSL_CTX>> MakeTlsContext(const TlsPems& pems);

}  // namespace seedbed
