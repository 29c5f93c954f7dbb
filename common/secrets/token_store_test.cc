#include "common/secrets/token_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"
#include "common/base/testing/no_descriptors.h"
#include "common/secrets/bearer_token.h"
#include "common/secrets/private_file.h"
#include "common/secrets/random_text.h"

namespace seedbed {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

class TokenStoreTest : public ::testing::Test {
 protected:
  TokenStoreTest() {
    std::string name = (std::filesystem::temp_directory_path() / "seedbed-secrets-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  ~TokenStoreTest() override { std::filesystem::remove_all(directory_); }

  std::string Content() const {
    std::ifstream file(TokensPath(directory_));
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

TEST_F(TokenStoreTest, ATokenIsKeptAsItsHashOnly) {
  const mode_t before = umask(0);  // the file's mode must not hang on it
  const auto token = CreateToken(directory_, "ann", Role::kSubmit, kNow);
  umask(before);
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_THAT(*token, SizeIs(8 + 64));
  EXPECT_EQ(token->substr(0, 8), "seedbed_");
  EXPECT_THAT(Content(), Not(HasSubstr(token->substr(8))));
  EXPECT_THAT(Content(), HasSubstr(Sha256Hex(*token)));
  EXPECT_EQ(ModeOf(TokensPath(directory_)), 0600u);
  EXPECT_EQ(ModeOf(directory_ + "/tokens.lock"), 0600u);
  const auto list = ListTokens(directory_);
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_THAT(*list, SizeIs(1));
  EXPECT_EQ((*list)[0].name, "ann");
  EXPECT_EQ((*list)[0].role, Role::kSubmit);
  EXPECT_EQ((*list)[0].created_at, "2023-11-14T22:13:20Z");
}

TEST_F(TokenStoreTest, NamesAreUniqueAndPlain) {
  ASSERT_TRUE(CreateToken(directory_, "ann", Role::kRead, kNow).ok());
  EXPECT_EQ(CreateToken(directory_, "ann", Role::kRead, kNow).status().code(), absl::StatusCode::kAlreadyExists);
  for (const std::string& name : {std::string(""), std::string("a b"), std::string("../x"), std::string(200, 'a')}) {
    EXPECT_EQ(CreateToken(directory_, name, Role::kRead, kNow).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(RevokeToken(directory_, "ben").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ParseRole("root").status().code(), absl::StatusCode::kInvalidArgument);
  for (const Role role : {Role::kAdmin, Role::kSubmit, Role::kWorker, Role::kRead}) {
    EXPECT_EQ(*ParseRole(RoleName(role)), role);
  }
  EXPECT_EQ(CreateToken(directory_ + "/none", "ann", Role::kRead, kNow).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(TokenStoreTest, ATableFollowsTheFile) {
  TokenTable table(directory_);
  EXPECT_EQ(*table.Find(Sha256Hex("anything")), std::nullopt);
  const std::string ann = *CreateToken(directory_, "ann", Role::kWorker, kNow);
  const std::string ben = *CreateToken(directory_, "ben", Role::kRead, kNow);
  const auto found = table.Find(Sha256Hex(ann));
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->name, "ann");
  EXPECT_EQ((*found)->role, Role::kWorker);
  EXPECT_EQ((*table.Find(Sha256Hex(ben)))->name, "ben");
  EXPECT_EQ(*table.Find(Sha256Hex(ann + "0")), std::nullopt);
  EXPECT_EQ(*table.Find(ann), std::nullopt) << "the hash is asked for, not the token";
  ASSERT_TRUE(RevokeToken(directory_, "ann").ok());
  EXPECT_EQ(*table.Find(Sha256Hex(ann)), std::nullopt);
  EXPECT_NE(*table.Find(Sha256Hex(ben)), std::nullopt);
  std::filesystem::remove(TokensPath(directory_));
  EXPECT_EQ(*table.Find(Sha256Hex(ben)), std::nullopt);
}

TEST_F(TokenStoreTest, AFileThatCannotBeReadForTheMomentLocksNobodyOut) {
  const std::string ann = *CreateToken(directory_, "ann", Role::kRead, kNow);
  const std::string ben = *CreateToken(directory_, "ben", Role::kRead, kNow);
  TokenTable table(directory_);
  {
    const NoDescriptors none;
    EXPECT_TRUE(absl::IsUnavailable(table.Find(Sha256Hex(ann)).status())) << table.Find(Sha256Hex(ann)).status();
  }
  EXPECT_NE(*table.Find(Sha256Hex(ann)), std::nullopt) << "the file has not changed since";
  {
    const NoDescriptors none;
    EXPECT_NE(*table.Find(Sha256Hex(ann)), std::nullopt) << "what was read is as good as ever";
  }
  ASSERT_TRUE(RevokeToken(directory_, "ann").ok());
  {
    const NoDescriptors none;
    EXPECT_TRUE(absl::IsUnavailable(table.Find(Sha256Hex(ann)).status())) << "it was revoked";
    EXPECT_TRUE(absl::IsUnavailable(table.Find(Sha256Hex(ben)).status())) << "nobody knows whether it was";
  }
  EXPECT_EQ(*table.Find(Sha256Hex(ann)), std::nullopt);
  EXPECT_NE(*table.Find(Sha256Hex(ben)), std::nullopt);
}

TEST_F(TokenStoreTest, AFileThatOthersMayReadOrThatIsDamagedIsNotUsed) {
  const std::string ann = *CreateToken(directory_, "ann", Role::kAdmin, kNow);
  TokenTable table(directory_);
  ASSERT_NE(*table.Find(Sha256Hex(ann)), std::nullopt);
  for (const mode_t mode : {0640u, 0604u, 0620u, 0660u}) {
    ASSERT_EQ(chmod(TokensPath(directory_).c_str(), mode), 0);
    EXPECT_EQ(table.Find(Sha256Hex(ann)).status().code(), absl::StatusCode::kFailedPrecondition) << mode;
  }
  ASSERT_EQ(chmod(TokensPath(directory_).c_str(), 0600), 0);
  EXPECT_NE(*table.Find(Sha256Hex(ann)), std::nullopt);
  for (const char* content :
       {"", "x", "[]", "{}", R"({"tokens": 1})", R"({"tokens": [1]})", R"({"tokens": [{"name": "a"}]})",
        R"({"tokens": [{"name": "a", "role": "root", "sha256": "00", "created_at": ""}]})",
        R"({"tokens": [{"name": "a", "role": "admin", "sha256": "", "created_at": ""}]})"}) {
    ASSERT_TRUE(WritePrivateFile(TokensPath(directory_), content).ok());
    EXPECT_EQ(table.Find(Sha256Hex(ann)).status().code(), absl::StatusCode::kFailedPrecondition) << content;
    EXPECT_EQ(ListTokens(directory_).status().code(), absl::StatusCode::kFailedPrecondition) << content;
    EXPECT_FALSE(CreateToken(directory_, "new", Role::kRead, kNow).ok()) << "nothing is thrown away: " << content;
    EXPECT_EQ(Content(), content);
  }
}

TEST_F(TokenStoreTest, ManyAtOnceLoseNothing) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, i] {
      for (int j = 0; j < 5; ++j) {
        EXPECT_TRUE(CreateToken(directory_, absl::StrCat("t-", i, "-", j), Role::kRead, kNow).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(*ListTokens(directory_), SizeIs(40));
}

TEST_F(TokenStoreTest, RandomTextDiffers) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(seen.insert(RandomHex(32)).second);
}

TEST_F(TokenStoreTest, PrivateFilesAreReplacedWhole) {
  const std::string path = directory_ + "/secret";
  const mode_t before = umask(0);
  ASSERT_TRUE(WritePrivateFile(path, "one").ok());
  umask(before);
  EXPECT_EQ(ModeOf(path), 0600u);
  EXPECT_EQ(*ReadPrivateFile(path), "one");
  ASSERT_TRUE(WritePrivateFile(path, "two").ok());
  EXPECT_EQ(*ReadPrivateFile(path), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1) << "nothing is left beside it";
  EXPECT_EQ(ReadPrivateFile(directory_ + "/none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(WritePrivateFile(directory_ + "/none/x", "").ok());
}

TEST_F(TokenStoreTest, ClientsReadTokensFromFilesAndTheEnvironment) {
  const std::string path = directory_ + "/t";
  ASSERT_TRUE(WritePrivateFile(path, " seedbed_0a\r\n").ok());
  setenv("SEEDBED_TOKEN", "of-environment\n", 1);
  EXPECT_EQ(*GivenToken(path), "seedbed_0a");
  EXPECT_EQ(*GivenToken(""), "of-environment");
  setenv("SEEDBED_TOKEN", "two words", 1);
  const absl::Status no_token = GivenToken("").status();
  EXPECT_EQ(no_token.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(no_token.message()), Not(HasSubstr("two words")));
  unsetenv("SEEDBED_TOKEN");
  EXPECT_EQ(*GivenToken(""), "");
  EXPECT_EQ(GivenToken(directory_ + "/none").status().code(), absl::StatusCode::kNotFound);
  for (const std::string& text : {std::string("a\nb"), std::string("a\0b", 3), std::string("\xc3\xa4"),
                                  std::string(5000, 'a'), std::string("\x7f")}) {
    ASSERT_TRUE(WritePrivateFile(path, text).ok());
    EXPECT_EQ(GivenToken(path).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(EqualInConstantTime, ComparesWhole) {
  EXPECT_TRUE(EqualInConstantTime("", ""));
  EXPECT_TRUE(EqualInConstantTime("abc", "abc"));
  EXPECT_FALSE(EqualInConstantTime("abc", "abd"));
  EXPECT_FALSE(EqualInConstantTime("bbc", "abc"));
  EXPECT_FALSE(EqualInConstantTime("abc", "abcd"));
}

}  // namespace
}  // namespace seedbed
