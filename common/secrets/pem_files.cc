#include "common/secrets/pem_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/secrets/openssl_pointers.h"
#include "common/secrets/private_file.h"

namespace seedbed {
namespace {

constexpr char kNewOnes[] = "`seedbed tls init --renew` makes new ones";

// A given file, with its option for messages.
struct Given {
  std::string path;
  std::string option;
};

absl::Status About(const Given& file, absl::StatusCode code, const std::string& what) {
  return absl::Status(code, absl::StrCat(file.option, " ", file.path, ": ", what));
}

absl::StatusOr<std::string> ReadPublicFile(const Given& file) {
  std::ifstream in(file.path, std::ios::binary);
  if (!in) return About(file, absl::StatusCode::kNotFound, absl::StrCat("cannot read it: ", std::strerror(errno)));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

BioPointer Memory(const std::string& text) {
  return BioPointer(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// 0 is "no passphrase": without this OpenSSL would ask on the terminal.
int NoPassphrase(char*, int, int, void*) {
  return 0;
}

absl::Status CheckDates(const Given& file, const X509* certificate, absl::Time now) {
  time_t seconds = absl::ToTimeT(now);
  if (X509_cmp_time(X509_get0_notAfter(certificate), &seconds) < 0) {
    return About(file, absl::StatusCode::kFailedPrecondition, absl::StrCat("the certificate has expired; ", kNewOnes));
  }
  if (X509_cmp_time(X509_get0_notBefore(certificate), &seconds) > 0) {
    return About(file, absl::StatusCode::kFailedPrecondition,
                 "the certificate is not valid yet; check this machine's clock");
  }
  return absl::OkStatus();
}

// The text of a file of certificates.
absl::StatusOr<std::string> LoadCertificates(const Given& file, absl::Time now) {
  SEEDBED_ASSIGN_OR_RETURN(std::string text, ReadPublicFile(file));
  const CertificatePointer certificate = CertificateFromPem(text);
  if (certificate == nullptr) {
    return About(file, absl::StatusCode::kFailedPrecondition,
                 "there is no certificate in it; expected a PEM file with -----BEGIN CERTIFICATE-----");
  }
  SEEDBED_RETURN_IF_ERROR(CheckDates(file, certificate.get(), now));
  return text;
}

absl::StatusOr<std::string> LoadKey(const Given& file, const Given& certificate_file, const std::string& certificate) {
  absl::StatusOr<std::string> text = ReadPrivateFile(file.path);
  if (!text.ok()) {
    return absl::Status(text.status().code(), absl::StrCat(file.option, ": ", text.status().message()));
  }
  const KeyPointer key = KeyFromPem(*text);
  if (key == nullptr) {
    return About(file, absl::StatusCode::kFailedPrecondition,
                 "there is no private key in it that needs no passphrase; expected a PEM file with -----BEGIN PRIVATE "
                 "KEY-----");
  }
  if (X509_check_private_key(CertificateFromPem(certificate).get(), key.get()) != 1) {
    ERR_clear_error();
    return About(file, absl::StatusCode::kFailedPrecondition,
                 absl::StrCat("the key does not belong to the certificate in ", certificate_file.path));
  }
  return text;
}

}  // namespace

CertificatePointer CertificateFromPem(const std::string& pem) {
  const BioPointer memory = Memory(pem);
  CertificatePointer certificate(PEM_read_bio_X509(memory.get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();
  return certificate;
}

KeyPointer KeyFromPem(const std::string& pem) {
  const BioPointer memory = Memory(pem);
  KeyPointer key(PEM_read_bio_PrivateKey(memory.get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();
  return key;
}

absl::StatusOr<TlsPems> LoadTlsPems(const TlsFiles& files, TlsSide side, absl::Time now) {
  TlsPems pems;
  if (files.empty()) return pems;
  const bool server = side == TlsSide::kServer;
  const Given ca{files.ca, server ? "--tls-client-ca" : "--tls-ca"};
  const Given certificate{files.certificate, "--tls-certificate"};
  const Given key{files.key, "--tls-key"};
  if (certificate.path.empty() != key.path.empty()) {
    return absl::InvalidArgumentError("--tls-certificate and --tls-key belong together: give both, or neither");
  }
  if (server && certificate.path.empty()) {
    return absl::InvalidArgumentError(
        "--tls-client-ca needs --tls-certificate and --tls-key: without them there is no TLS");
  }
  if (!server && ca.path.empty()) {
    return absl::InvalidArgumentError(
        "--tls-certificate needs --tls-ca (or SEEDBED_TLS_CA): the coordinator must be known before anything is sent "
        "to it");
  }
  if (!ca.path.empty()) {
    SEEDBED_ASSIGN_OR_RETURN(pems.ca, LoadCertificates(ca, now));
  }
  if (!certificate.path.empty()) {
    SEEDBED_ASSIGN_OR_RETURN(pems.certificate, LoadCertificates(certificate, now));
    SEEDBED_ASSIGN_OR_RETURN(pems.key, LoadKey(key, certificate, pems.certificate));
  }
  return pems;
}

std::string TlsAdvice(const TlsPems& client) {
  if (client.empty()) {
    return "If it serves TLS, --tls-ca (or SEEDBED_TLS_CA) names the file of its authority";
  }
  const std::string server = "Its certificate must be of the authority in --tls-ca and for this host name";
  if (client.certificate.empty()) {
    return server +
           "; and if it wants one of its clients too (mutual TLS), --tls-certificate and --tls-key name yours (or "
           "SEEDBED_TLS_CERTIFICATE and SEEDBED_TLS_KEY)";
  }
  return server + ", and yours, in --tls-certificate, of one that it takes (its --tls-client-ca)";
}

}  // namespace seedbed
