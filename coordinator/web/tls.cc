#include "coordinator/web/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace seedbed {
namespace {

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

absl::Status Problem(const std::string& what) {
  char text[256] = "no reason given";
  if (const unsigned long error = ERR_get_error(); error != 0) ERR_error_string_n(error, text, sizeof(text));
  ERR_clear_error();
  return absl::FailedPreconditionError(
      absl::StrCat("TLS for --http: ", what, ": ", text, "; look at --tls-certificate, --tls-key and --tls-client-ca"));
}

// All certificates of a PEM text, in its order.
std::vector<Certificate> CertificatesOf(const std::string& pem) {
  std::vector<Certificate> certificates;
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                           &BIO_free_all);
  while (X509* each = PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(each, &X509_free);
  }
  ERR_clear_error();  // the end of the text is one
  return certificates;
}

absl::Status UseCertificate(SSL_CTX* context, const TlsPems& pems) {
  const std::vector<Certificate> chain = CertificatesOf(pems.certificate);
  if (chain.empty() || SSL_CTX_use_certificate(context, chain.front().get()) != 1) return Problem("the certificate");
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) return Problem("an intermediate certificate");
  }
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> text(
      BIO_new_mem_buf(pems.key.data(), static_cast<int>(pems.key.size())), &BIO_free_all);
  // Nobody is asked for a passphrase: LoadTlsPems has refused a key that has one.
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(text.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  if (key == nullptr || SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return Problem("the private key");
  }
  return absl::OkStatus();
}

absl::Status AskClients(SSL_CTX* context, const std::string& ca) {
  X509_STORE* store = SSL_CTX_get_cert_store(context);  // owned by the context
  const std::vector<Certificate> authorities = CertificatesOf(ca);
  if (authorities.empty()) return Problem("the authorities of clients");
  for (const Certificate& each : authorities) {
    if (X509_STORE_add_cert(store, each.get()) != 1 || SSL_CTX_add_client_CA(context, each.get()) != 1) {
      return Problem("an authority of clients");
    }
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<SSL_CTX>> MakeTlsContext(const TlsPems& pems) {
  if (pems.certificate.empty()) return std::shared_ptr<SSL_CTX>();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  if (context == nullptr) return Problem("no context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // Each connection shows its certificate anew; nobody renegotiates.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SEEDBED_RETURN_IF_ERROR(UseCertificate(context.get(), pems));
  if (!pems.ca.empty()) SEEDBED_RETURN_IF_ERROR(AskClients(context.get(), pems.ca));
  return context;
}

}  // namespace seedbed
