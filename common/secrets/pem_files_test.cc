#include "common/secrets/pem_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/secrets/certificates.h"
#include "common/secrets/openssl_pointers.h"
#include "common/secrets/private_file.h"

namespace seedbed {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

// OpenSSL's own judgement: would a TLS peer accept `certificate` for `host`, knowing only `authority`?
bool IsAccepted(const std::string& certificate, const std::string& authority, const std::string& host, int purpose,
                absl::Time when) {
  X509_STORE* const store = X509_STORE_new();
  X509_STORE_CTX* const context = X509_STORE_CTX_new();
  const CertificatePointer leaf = CertificateFromPem(certificate);
  const CertificatePointer root = CertificateFromPem(authority);
  X509_STORE_add_cert(store, root.get());
  X509_STORE_CTX_init(context, store, leaf.get(), nullptr);
  X509_STORE_CTX_set_purpose(context, purpose);
  X509_VERIFY_PARAM* const parameters = X509_STORE_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_time(parameters, absl::ToTimeT(when));
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
  if (!host.empty() && X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) != 1) {
    X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), 0);
  }
  const bool accepted = X509_verify_cert(context) == 1;
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  return accepted;
}

class PemFilesTest : public ::testing::Test {
 protected:
  PemFilesTest() {
    std::string name = (std::filesystem::temp_directory_path() / "seedbed-secrets-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    authority_ = *MakeAuthority(kNow, 100);
    pair_ = *MakeCertificate(authority_, CertificateUse::kServer, "server",
                             {"localhost", "127.0.0.1", "::1", "*.cluster.example"}, kNow, 30);
  }
  ~PemFilesTest() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = directory_ + "/" + name;
    EXPECT_TRUE(WritePrivateFile(path, content).ok());
    return path;
  }
  TlsFiles Files() {
    return {Write("ca.crt", authority_.certificate), Write("s.crt", pair_.certificate), Write("s.key", pair_.key)};
  }

  std::string directory_;
  CertificatePair authority_;
  CertificatePair pair_;
};

TEST_F(PemFilesTest, CertificatesAreWhatTlsPeersExpect) {
  const auto accepts = [&](const std::string& host, int purpose = X509_PURPOSE_SSL_SERVER,
                           absl::Duration later = absl::ZeroDuration()) {
    return IsAccepted(pair_.certificate, authority_.certificate, host, purpose, kNow + later);
  };
  for (const char* host : {"localhost", "127.0.0.1", "::1", "head.cluster.example"}) EXPECT_TRUE(accepts(host)) << host;
  for (const char* host : {"127.0.0.2", "example", "cluster.example", "server"}) EXPECT_FALSE(accepts(host)) << host;
  EXPECT_FALSE(accepts("localhost", X509_PURPOSE_SSL_CLIENT));
  EXPECT_TRUE(accepts("localhost", X509_PURPOSE_SSL_SERVER, -absl::Minutes(59))) << "clocks may differ";
  EXPECT_FALSE(accepts("localhost", X509_PURPOSE_SSL_SERVER, -absl::Hours(2)));
  EXPECT_TRUE(accepts("localhost", X509_PURPOSE_SSL_SERVER, absl::Hours(24 * 29)));
  EXPECT_FALSE(accepts("localhost", X509_PURPOSE_SSL_SERVER, absl::Hours(24 * 31)));
  EXPECT_FALSE(
      IsAccepted(pair_.certificate, MakeAuthority(kNow, 100)->certificate, "localhost", X509_PURPOSE_SSL_SERVER, kNow))
      << "of another authority";
  const auto client = MakeCertificate(authority_, CertificateUse::kClient, "client", {}, kNow, 30);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE(IsAccepted(client->certificate, authority_.certificate, "", X509_PURPOSE_SSL_CLIENT, kNow));
  EXPECT_FALSE(IsAccepted(client->certificate, authority_.certificate, "", X509_PURPOSE_SSL_SERVER, kNow));
  // A certificate is no authority.
  const auto forged = MakeCertificate(*client, CertificateUse::kServer, "forged", {"localhost"}, kNow, 30);
  ASSERT_TRUE(forged.ok()) << forged.status();
  EXPECT_FALSE(IsAccepted(forged->certificate, client->certificate, "localhost", X509_PURPOSE_SSL_SERVER, kNow));
}

TEST_F(PemFilesTest, HostsAreChecked) {
  for (const char* host : {"head", "head.cluster", "*.cluster", "10.0.0.1", "fe80::1", "a_b", "x-1"}) {
    EXPECT_TRUE(CheckHost(host).ok()) << host;
  }
  for (const std::string& host : {std::string(""), std::string("a b"), std::string("a,DNS:b"), std::string("a..b"),
                                  std::string("-a"), std::string("*"), std::string("a.*"), std::string("x:1"),
                                  std::string("head:7070"), std::string(64, 'a'), std::string("a\nb")}) {
    EXPECT_EQ(CheckHost(host).code(), absl::StatusCode::kInvalidArgument) << host;
    EXPECT_FALSE(MakeCertificate(authority_, CertificateUse::kServer, "s", {host}, kNow, 1).ok()) << host;
  }
  CertificatePair mixed = authority_;
  mixed.key = pair_.key;
  EXPECT_EQ(MakeCertificate(mixed, CertificateUse::kServer, "s", {}, kNow, 1).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(PemFilesTest, GoodFilesAreRead) {
  const TlsFiles files = Files();
  for (const TlsSide side : {TlsSide::kServer, TlsSide::kClient}) {
    const auto pems = LoadTlsPems(files, side, kNow);
    ASSERT_TRUE(pems.ok()) << pems.status();
    EXPECT_EQ(pems->ca, authority_.certificate);
    EXPECT_EQ(pems->certificate, pair_.certificate);
    EXPECT_EQ(pems->key, pair_.key);
  }
  EXPECT_TRUE(LoadTlsPems({}, TlsSide::kServer, kNow)->empty());
  EXPECT_FALSE(LoadTlsPems({files.ca, "", ""}, TlsSide::kClient, kNow)->empty());
}

TEST_F(PemFilesTest, EveryMistakeNamesTheFileAndTheWayOut) {
  const TlsFiles files = Files();
  struct Row {
    TlsFiles files;
    TlsSide side;
    std::string expected;
    absl::Time now = kNow;
  };
  const std::string none = directory_ + "/none";
  const std::string text = Write("text", "hello");
  const std::string other_key = Write("other.key", authority_.key);
  const std::string locked =
      Write("locked.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIG0MF8GCSqGSIb3DQEFDTBS\n-----END ENCRYPTED PRIVATE KEY-----\n");
  const std::string open_key = Write("open.key", pair_.key);
  ASSERT_EQ(chmod(open_key.c_str(), 0640), 0);
  const std::vector<Row> rows = {
      {{"", files.certificate, ""}, TlsSide::kServer, "belong together"},
      {{files.ca, "", files.key}, TlsSide::kClient, "belong together"},
      {{files.ca, "", ""}, TlsSide::kServer, "--tls-client-ca needs"},
      {{"", files.certificate, files.key}, TlsSide::kClient, "needs --tls-ca"},
      {{none, "", ""}, TlsSide::kClient, none},
      {{text, "", ""}, TlsSide::kClient, "BEGIN CERTIFICATE"},
      {{"", files.key, files.key}, TlsSide::kServer, "BEGIN CERTIFICATE"},
      {{"", files.certificate, none}, TlsSide::kServer, none},
      {{"", files.certificate, text}, TlsSide::kServer, "no private key"},
      {{"", files.certificate, locked}, TlsSide::kServer, "passphrase"},
      {{"", files.certificate, other_key}, TlsSide::kServer, "does not belong"},
      {{"", files.certificate, open_key}, TlsSide::kServer, "chmod 600"},
      {{"", files.certificate, files.key}, TlsSide::kServer, "expired", kNow + absl::Hours(24 * 40)},
      {{"", files.certificate, files.key}, TlsSide::kServer, "clock", kNow - absl::Hours(24)},
      {{files.ca, "", ""}, TlsSide::kClient, "expired", kNow + absl::Hours(24 * 200)},
  };
  for (const Row& row : rows) {
    const auto pems = LoadTlsPems(row.files, row.side, row.now);
    ASSERT_FALSE(pems.ok()) << row.expected;
    EXPECT_THAT(std::string(pems.status().message()), HasSubstr(row.expected));
  }
}

TEST(TlsAdvice, NamesWhatIsMissing) {
  EXPECT_THAT(TlsAdvice({}), HasSubstr("--tls-ca"));
  EXPECT_THAT(TlsAdvice({"ca", "", ""}), HasSubstr("--tls-certificate and --tls-key name yours"));
  EXPECT_THAT(TlsAdvice({"ca", "ours", "key"}), HasSubstr("--tls-client-ca"));
}

}  // namespace
}  // namespace seedbed
