#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

// The certificates of a small cluster: an authority of its own, one certificate for the coordinator, one for its
// clients. Made with OpenSSL's library and not its program, which need not be installed and whose command lines and
// configuration files would have to be composed and quoted.
namespace seedbed {

struct CertificatePair {
  std::string certificate;  // PEM
  std::string key;          // PEM, PKCS #8, no passphrase
};

// A self-signed authority (ECDSA P-256, SHA-256), valid from an hour before `now`, so that clocks may differ, for
// `days`.
absl::StatusOr<CertificatePair> MakeAuthority(absl::Time now, int days);

enum class CertificateUse { kServer, kClient };
// A certificate of `authority` for that use, named `name`, and good for `hosts` (names and addresses).
// FAILED_PRECONDITION if the authority's texts are damaged or do not belong together; INVALID_ARGUMENT for a host that
// is none.
absl::StatusOr<CertificatePair> MakeCertificate(const CertificatePair& authority, CertificateUse use,
                                                const std::string& name, const std::vector<std::string>& hosts,
                                                absl::Time now, int days);

// OK if `host` is a DNS name (perhaps with "*." before it) or an IP address.
absl::Status CheckHost(const std::string& host);

}  // namespace seedbed
