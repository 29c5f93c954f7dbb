#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

// Owning pointers to OpenSSL's objects. Private to this folder.
namespace seedbed {

template <auto Free>
struct OpenSslFree {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using BioPointer = std::unique_ptr<BIO, OpenSslFree<BIO_free_all>>;
using BigNumberPointer = std::unique_ptr<BIGNUM, OpenSslFree<BN_free>>;
using CertificatePointer = std::unique_ptr<X509, OpenSslFree<X509_free>>;
using ExtensionPointer = std::unique_ptr<X509_EXTENSION, OpenSslFree<X509_EXTENSION_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, OpenSslFree<EVP_PKEY_free>>;

// The first certificate, the private key, in a PEM text; null if there is none. A key under a passphrase is none:
// nobody is asked.
CertificatePointer CertificateFromPem(const std::string& pem);
KeyPointer KeyFromPem(const std::string& pem);

}  // namespace seedbed
