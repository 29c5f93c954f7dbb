#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/secrets/token_store.h"

// Who may call what: the one table that every handler asks (Authenticator). docs/security.md shows it by command.
namespace seedbed {

struct AccessRule {
  const char* method;  // "SweepService/Query": the service's name without its package, and the method's; or kDashboard
  Role role;           // what it needs
};

// Everything that is served over HTTP: all of it only reads.
constexpr char kDashboard[] = "the dashboard";

// One rule for every method of every service of ours; a test compares it with the services themselves.
const std::vector<AccessRule>& AccessRules();

// nullopt for a method that has no rule: nobody may call it.
std::optional<Role> RequiredRole(const std::string& method);

// What somebody was doing who called `method`, in words for people.
std::string CommandOf(const std::string& method);

// True if a token of role `has` may do what `needs`.
bool Includes(Role has, Role needs);

}  // namespace seedbed
