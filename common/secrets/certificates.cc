#include "common/secrets/certificates.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/secrets/openssl_pointers.h"

namespace seedbed {
namespace {

constexpr int kSerialBits = 159;  // positive, at most 20 bytes (RFC 5280)
constexpr absl::Duration kClockDifference = absl::Hours(1);

absl::Status OpenSslError(const std::string& doing) {
  char text[256] = "no reason given";
  const unsigned long code = ERR_peek_last_error();
  if (code != 0) ERR_error_string_n(code, text, sizeof(text));
  ERR_clear_error();
  return absl::InternalError(absl::StrCat("OpenSSL cannot ", doing, ": ", text));
}

bool IsAddress(const std::string& host) {
  unsigned char address[16];
  return inet_pton(AF_INET, host.c_str(), address) == 1 || inet_pton(AF_INET6, host.c_str(), address) == 1;
}

absl::StatusOr<std::string> TextOf(const BioPointer& memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  if (size <= 0) return OpenSslError("write PEM");
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<CertificatePair> ToPem(X509* certificate, EVP_PKEY* key) {
  const BioPointer certificate_memory(BIO_new(BIO_s_mem()));
  const BioPointer key_memory(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_memory.get(), certificate) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError("write PEM");
  }
  CertificatePair pair;
  SEEDBED_ASSIGN_OR_RETURN(pair.certificate, TextOf(certificate_memory));
  SEEDBED_ASSIGN_OR_RETURN(pair.key, TextOf(key_memory));
  return pair;
}

// Makes one certificate: what all have in common, then extensions, then Sign.
class Draft {
 public:
  // `issuer`: null for one that signs itself.
  absl::Status Begin(const std::string& name, X509* issuer, absl::Time now, int days) {
    certificate_.reset(X509_new());
    key_.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    const BigNumberPointer serial(BN_new());
    if (certificate_ == nullptr || key_ == nullptr || serial == nullptr) return OpenSslError("make a key");
    issuer_ = issuer == nullptr ? certificate_.get() : issuer;
    X509* const made = certificate_.get();
    X509_NAME* const subject = X509_get_subject_name(made);
    const auto* bytes = reinterpret_cast<const unsigned char*>(name.data());
    const bool ok =
        X509_set_version(made, X509_VERSION_3) == 1 &&
        BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
        BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(made)) != nullptr &&
        ASN1_TIME_set(X509_getm_notBefore(made), absl::ToTimeT(now - kClockDifference)) != nullptr &&
        ASN1_TIME_set(X509_getm_notAfter(made), absl::ToTimeT(now + absl::Hours(24) * days)) != nullptr &&
        X509_set_pubkey(made, key_.get()) == 1 &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, bytes, static_cast<int>(name.size()), -1, 0) == 1 &&
        X509_set_issuer_name(made, X509_get_subject_name(issuer_)) == 1;
    return ok ? absl::OkStatus() : OpenSslError("fill in a certificate");
  }

  absl::Status Extend(int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer_, certificate_.get(), nullptr, nullptr, 0);
    const ExtensionPointer extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
    if (extension == nullptr || X509_add_ext(certificate_.get(), extension.get(), -1) != 1) {
      return OpenSslError(absl::StrCat("add \"", value, "\" to a certificate"));
    }
    return absl::OkStatus();
  }

  // `key`: the issuer's; null for one that signs itself.
  absl::StatusOr<CertificatePair> Sign(EVP_PKEY* key) {
    if (X509_sign(certificate_.get(), key == nullptr ? key_.get() : key, EVP_sha256()) == 0) {
      return OpenSslError("sign a certificate");
    }
    return ToPem(certificate_.get(), key_.get());
  }

 private:
  CertificatePointer certificate_;
  KeyPointer key_;
  X509* issuer_ = nullptr;
};

}  // namespace

absl::Status CheckHost(const std::string& host) {
  const std::string name = absl::StartsWith(host, "*.") ? host.substr(2) : host;
  const bool plain =
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == std::string::npos;
  const std::vector<std::string> labels = absl::StrSplit(name, '.');
  bool whole = plain && host.size() <= 253;
  for (const std::string& label : labels) whole = whole && !label.empty() && label.size() <= 63 && label[0] != '-';
  if (whole || IsAddress(host)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("host \"", host, "\": expected a name such as head.cluster or an address such as 10.0.0.1"));
}

absl::StatusOr<CertificatePair> MakeAuthority(absl::Time now, int days) {
  Draft draft;
  SEEDBED_RETURN_IF_ERROR(draft.Begin("Seedbed cluster CA", nullptr, now, days));
  SEEDBED_RETURN_IF_ERROR(draft.Extend(NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  SEEDBED_RETURN_IF_ERROR(draft.Extend(NID_key_usage, "critical,keyCertSign,cRLSign"));
  SEEDBED_RETURN_IF_ERROR(draft.Extend(NID_subject_key_identifier, "hash"));
  return draft.Sign(nullptr);
}

absl::StatusOr<CertificatePair> MakeCertificate(const CertificatePair& authority, CertificateUse use,
                                                const std::string& name, const std::vector<std::string>& hosts,
                                                absl::Time now, int days) {
  const CertificatePointer issuer = CertificateFromPem(authority.certificate);
  const KeyPointer issuer_key = KeyFromPem(authority.key);
  if (issuer == nullptr || issuer_key == nullptr || X509_check_private_key(issuer.get(), issuer_key.get()) != 1) {
    ERR_clear_error();
    return absl::FailedPreconditionError("the authority's certificate and key are damaged, or not of one pair");
  }
  time_t seconds = absl::ToTimeT(now);
  if (X509_cmp_time(X509_get0_notAfter(issuer.get()), &seconds) < 0) {
    return absl::FailedPreconditionError("the authority has expired; make another one, in another directory");
  }
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const std::string& host : hosts) {
    SEEDBED_RETURN_IF_ERROR(CheckHost(host));
    if (seen.insert(host).second) names.push_back(absl::StrCat(IsAddress(host) ? "IP:" : "DNS:", host));
  }
  Draft draft;
  SEEDBED_RETURN_IF_ERROR(draft.Begin(name, issuer.get(), now, days));
  SEEDBED_RETURN_IF_ERROR(draft.Extend(NID_basic_constraints, "critical,CA:FALSE"));
  SEEDBED_RETURN_IF_ERROR(draft.Extend(NID_key_usage, "critical,digitalSignature"));
  SEEDBED_RETURN_IF_ERROR(
      draft.Extend(NID_ext_key_usage, use == CertificateUse::kServer ? "serverAuth" : "clientAuth"));
  SEEDBED_RETURN_IF_ERROR(draft.Extend(NID_subject_key_identifier, "hash"));
  SEEDBED_RETURN_IF_ERROR(draft.Extend(NID_authority_key_identifier, "keyid:always"));
  if (!names.empty()) SEEDBED_RETURN_IF_ERROR(draft.Extend(NID_subject_alt_name, absl::StrJoin(names, ",")));
  return draft.Sign(issuer_key.get());
}

}  // namespace seedbed
