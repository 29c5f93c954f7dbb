#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/testing/command_fixture.h"
#include "common/base/sha256.h"
#include "common/secrets/pem_files.h"
#include "common/secrets/private_file.h"
#include "common/secrets/sign_in_code.h"
#include "common/secrets/token_store.h"
#include "coordinator/server_file.h"
#include "coordinator/storage/data_directory.h"

namespace seedbed::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class SecurityCommands : public CommandTest {
 protected:
  SecurityCommands() {
    std::string name = (std::filesystem::temp_directory_path() / "seedbed-security-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  ~SecurityCommands() override { std::filesystem::remove_all(directory_); }

  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  static mode_t ModeOf(const std::string& path) {
    struct stat file {};
    EXPECT_EQ(stat(path.c_str(), &file), 0) << path;
    return file.st_mode & 0777;
  }

  std::string directory_;
};

TEST_F(SecurityCommands, ATokenIsMadeListedAndRevoked) {
  Result result = Run({"--data", directory_, "token", "create", "--role", "worker", "--name", "nodes"});
  ASSERT_EQ(result.code, kExitOk) << result.err;
  ASSERT_THAT(result.out, SizeIs(8 + 64 + 1)) << "the token and nothing else, so that it can go to a file";
  EXPECT_THAT(result.err, HasSubstr("only time"));
  const std::string token = result.out.substr(0, 8 + 64);
  const auto entries = ListTokens(directory_);
  ASSERT_TRUE(entries.ok() && entries->size() == 1);
  EXPECT_EQ((*entries)[0].sha256, Sha256Hex(token));
  EXPECT_EQ((*entries)[0].role, Role::kWorker);

  result = Run({"token", "list", "--data", directory_, "--json"});
  const OrderedJson list = Parse(result.out);
  ASSERT_THAT(list["tokens"], SizeIs(1));
  EXPECT_EQ(list["tokens"][0]["name"], "nodes");
  EXPECT_EQ(list["tokens"][0]["role"], "worker");
  EXPECT_THAT(result.out, Not(HasSubstr("sha256")));
  EXPECT_THAT(Run({"token", "list", "--data", directory_}).out, HasSubstr("nodes"));

  EXPECT_EQ(Run({"token", "create", "--role", "read", "--name", "nodes", "--data", directory_}).code, kExitFailed);
  EXPECT_EQ(Run({"token", "revoke", "nodes", "--data", directory_}).code, kExitOk);
  EXPECT_THAT(*ListTokens(directory_), SizeIs(0));
  EXPECT_EQ(Run({"token", "revoke", "nodes", "--data", directory_}).code, kExitNotFound);
}

TEST_F(SecurityCommands, ATokensFileIsPrivate) {
  const std::string file = directory_ + "/ann.token";
  const mode_t before = umask(0);
  const Result result =
      Run({"--data", directory_, "token", "create", "--role", "submit", "--name", "ann", "--output", file});
  umask(before);
  ASSERT_EQ(result.code, kExitOk) << result.err;
  EXPECT_EQ(ModeOf(file), 0600u);
  EXPECT_THAT(result.out + result.err, Not(HasSubstr(Read(file).substr(0, 72))));
  EXPECT_EQ((*ListTokens(directory_))[0].sha256, Sha256Hex(Read(file).substr(0, 72)));
  const std::string nowhere = directory_ + "/none/ben.token";
  EXPECT_NE(Run({"--data", directory_, "token", "create", "--role", "read", "--name", "ben", "-o", nowhere}).code, 0);
  EXPECT_THAT(*ListTokens(directory_), SizeIs(1)) << "a token that was not handed out does not stay";
}

TEST_F(SecurityCommands, ATokensFileIsWrittenOverOnRequestOnly) {
  const std::string file = directory_ + "/ann.token";
  const auto create = [&](const std::string& name, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"--data", directory_, "token", "create", "--role",
                                      "read",   "--name",   name,    "-o",     file};
    words.insert(words.end(), more.begin(), more.end());
    return Run(words);
  };
  ASSERT_EQ(create("ann").code, kExitOk);
  const std::string first = Read(file);
  const Result refused = create("ben");
  EXPECT_EQ(refused.code, kExitFailed);
  EXPECT_THAT(refused.err, HasSubstr("--force"));
  EXPECT_EQ(Read(file), first);
  EXPECT_THAT(*ListTokens(directory_), SizeIs(1)) << "nothing was made";
  EXPECT_EQ(create("ben", {"--force"}).code, kExitOk);
  EXPECT_NE(Read(file), first);
  std::filesystem::remove(file);
  std::filesystem::create_symlink("nowhere", file);
  EXPECT_EQ(create("cyd").code, kExitFailed) << "a link is something that is there too";
}

TEST_F(SecurityCommands, MistakesWithTokensAreSaid) {
  EXPECT_EQ(Run({"token"}).code, kExitUsage);
  EXPECT_EQ(Run({"token", "make"}).code, kExitUsage);
  EXPECT_EQ(Run({"token", "create", "--data", directory_}).code, kExitUsage);
  EXPECT_EQ(Run({"token", "create", "--data", directory_, "--role", "root", "--name", "x"}).code, kExitUsage);
  EXPECT_EQ(Run({"token", "create", "--data", directory_, "--role", "read", "--name", "a b"}).code, kExitUsage);
  EXPECT_EQ(Run({"token", "revoke", "--data", directory_}).code, kExitUsage);
  EXPECT_EQ(Run({"token", "list", "--data", directory_ + "/none"}).code, kExitNotFound);
  const Result remote = Run({"--server", "head:1", "token", "list"});
  EXPECT_EQ(remote.code, kExitUsage);
  EXPECT_THAT(remote.err, HasSubstr("--data"));
}

TEST_F(SecurityCommands, ALinkToTheDashboardNeedsOneThatRuns) {
  EXPECT_EQ(Run({"--server", "head:1", "dashboard"}).code, kExitUsage);
  Result result = Run({"--data", directory_, "dashboard"});
  EXPECT_EQ(result.code, kExitUnreachable);
  EXPECT_THAT(result.err, HasSubstr("--http"));
  ServerFile file;
  file.addresses = {"unix:/s"};
  file.token_file = directory_ + "/token";
  ASSERT_TRUE(WritePrivateFile(file.token_file, std::string(32, 'x') + "\n").ok());
  ASSERT_TRUE(WriteServerFile(directory_, file).ok());
  EXPECT_EQ(Run({"--data", directory_, "dashboard"}).code, kExitUnreachable) << "a file of one that has crashed";
  const auto lock = DataLock::Take(directory_);
  ASSERT_TRUE(lock.ok()) << lock.status();
  result = Run({"--data", directory_, "dashboard"});
  EXPECT_EQ(result.code, kExitFailed);
  EXPECT_THAT(result.err, HasSubstr("serves no dashboard"));
  file.http = "https://0.0.0.0:8080";
  ASSERT_TRUE(WriteServerFile(directory_, file).ok());
  result = Run({"--data", directory_, "dashboard"});
  ASSERT_EQ(result.code, kExitOk) << result.err;
  EXPECT_THAT(result.out, StartsWith("https://127.0.0.1:8080/?code="));
  EXPECT_THAT(result.out, Not(HasSubstr(std::string(32, 'x'))));
  SignInCodes codes(std::string(32, 'x'), absl::InfinitePast());
  const Result json = Run({"--data", directory_, "dashboard", "--json"});
  const std::string link = Parse(json.out)["link"];
  EXPECT_EQ(Parse(json.out)["url"], "https://0.0.0.0:8080");
  EXPECT_TRUE(codes.Use(link.substr(link.find("code=") + 5), absl::Now()).ok());
}

TEST_F(SecurityCommands, TlsInitMakesWhatBothSidesLoad) {
  const std::string tls = directory_ + "/tls";
  const mode_t before = umask(0);
  Result result = Run({"tls", "init", "--directory", tls, "--host", "head.cluster", "--host", "10.0.0.1", "--json"});
  umask(before);
  ASSERT_EQ(result.code, kExitOk) << result.err;
  EXPECT_EQ(ModeOf(tls), 0700u);
  for (const char* name : {"ca.crt", "ca.key", "server.crt", "server.key", "client.crt", "client.key"}) {
    EXPECT_EQ(ModeOf(tls + "/" + name), 0600u) << name;
  }
  EXPECT_EQ(Parse(result.out)["hosts"], OrderedJson({"head.cluster", "10.0.0.1", "localhost", "127.0.0.1", "::1"}));
  const TlsFiles server = {tls + "/ca.crt", tls + "/server.crt", tls + "/server.key"};
  const TlsFiles client = {tls + "/ca.crt", tls + "/client.crt", tls + "/client.key"};
  EXPECT_TRUE(LoadTlsPems(server, TlsSide::kServer, absl::Now()).ok());
  EXPECT_TRUE(LoadTlsPems(client, TlsSide::kClient, absl::Now()).ok());

  const std::string spaced = directory_ + "/my tls";
  result = Run({"tls", "init", "--directory", spaced, "--host", "::1"});
  EXPECT_THAT(result.out, HasSubstr("\n  seedbed-coordinator --listen 0.0.0.0:7070 --tls-certificate '" + spaced +
                                    "/server.crt' --tls-key '" + spaced + "/server.key' --tls-client-ca '" + spaced +
                                    "/ca.crt'\n"));
  EXPECT_THAT(result.out, HasSubstr("\n  seedbed-worker --server '[::1]:7070' --token-file worker.token --tls-ca '" +
                                    spaced + "/ca.crt' "));

  const std::string authority = Read(tls + "/ca.crt");
  const std::string certificate = Read(tls + "/server.crt");
  result = Run({"tls", "init", "--directory", tls, "--host", "head"});
  EXPECT_EQ(result.code, kExitFailed);
  EXPECT_THAT(result.err, HasSubstr("--renew"));
  EXPECT_EQ(Read(tls + "/server.crt"), certificate);
  result = Run({"tls", "init", "--directory", tls, "--host", "head", "--renew"});
  EXPECT_EQ(result.code, kExitOk) << result.err;
  EXPECT_THAT(result.out, HasSubstr("--tls-client-ca"));
  EXPECT_EQ(Read(tls + "/ca.crt"), authority);
  EXPECT_NE(Read(tls + "/server.crt"), certificate);
  EXPECT_TRUE(LoadTlsPems(server, TlsSide::kServer, absl::Now()).ok());
}

TEST_F(SecurityCommands, MistakesWithTlsLeaveNothing) {
  const std::string tls = directory_ + "/tls";
  EXPECT_EQ(Run({"tls", "init", "--directory", tls}).code, kExitUsage);
  EXPECT_EQ(Run({"tls", "init", "--directory", tls, "--host", "a,b"}).code, kExitUsage);
  EXPECT_FALSE(std::filesystem::exists(tls));
  EXPECT_EQ(Run({"tls", "init", "--directory", tls, "--host", "head", "--renew"}).code, kExitNotFound);
  const std::string open = directory_ + "/open";
  ASSERT_EQ(mkdir(open.c_str(), 0700), 0);
  ASSERT_EQ(chmod(open.c_str(), 0777), 0);
  const Result result = Run({"tls", "init", "--directory", open, "--host", "head"});
  EXPECT_EQ(result.code, kExitFailed);
  EXPECT_THAT(result.err, HasSubstr("chmod 700"));
  EXPECT_TRUE(std::filesystem::is_empty(open));
}

TEST_F(SecurityCommands, TlsFilesComeFromOptionsOrTheEnvironment) {
  setenv("SEEDBED_TLS_CA", "a.crt", 1);
  Run({"sweeps", "--tls-key", "k", "--tls-certificate", "c"});
  unsetenv("SEEDBED_TLS_CA");
  EXPECT_EQ(seen_options.tls.ca, "a.crt");
  EXPECT_EQ(seen_options.tls.certificate, "c");
  EXPECT_EQ(seen_options.tls.key, "k");
  Run({"sweeps"});
  EXPECT_TRUE(seen_options.tls.empty());
}

}  // namespace
}  // namespace seedbed::cli
