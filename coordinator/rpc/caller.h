#pragma once

#include "coordinator/access/authentication.h"

namespace grpc {
class ServerContextBase;
}

namespace seedbed {

// Who makes a call: trusted over a Unix socket, else with the token of its `authorization` metadata, if there is one.
Caller CallerOf(const grpc::ServerContextBase& context);

}  // namespace seedbed
