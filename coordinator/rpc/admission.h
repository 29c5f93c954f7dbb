#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "common/secrets/pem_files.h"
#include "coordinator/access/authentication.h"

namespace seedbed {

// What a TCP address is served with: TLS as `tls` says (empty: none), and no call without a token that `authenticator`
// knows. That is asked when a call's headers are here and before gRPC makes room for its first message: a handler,
// which asks for the role too, is only called with the message, so that strangers could have as many held as they like.
// `authenticator` outlives the server.
std::shared_ptr<grpc::ServerCredentials> AdmittingCredentials(const TlsPems& tls, const Authenticator* authenticator);

}  // namespace seedbed
