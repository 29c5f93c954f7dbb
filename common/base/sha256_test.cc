#include "common/base/sha256.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace seedbed {
namespace {

// The examples that NIST publishes with FIPS 180-4.
TEST(Sha256Test, GivesThePublishedSums) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Hex(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Lengths around those where the padding takes another block, and pieces of every size.
TEST(Sha256Test, PiecesDoNotMatter) {
  std::string text;
  for (int i = 0; i < 200; ++i) text.push_back(static_cast<char>('a' + i % 23));
  for (size_t length = 0; length <= text.size(); ++length) {
    const std::string expected = Sha256Hex(text.substr(0, length));
    for (const size_t piece : {1, 7, 63, 64, 65}) {
      Sha256 hash;
      for (size_t begin = 0; begin < length; begin += piece) {
        hash.Update(std::string_view(text).substr(begin, std::min(piece, length - begin)));
        hash.Finish();  // leaves no trace
      }
      ASSERT_EQ(HexOf(hash.Finish()), expected) << length << " in pieces of " << piece;
    }
  }
  EXPECT_NE(Sha256Hex(std::string(55, 'x')), Sha256Hex(std::string(56, 'x')));
}

}  // namespace
}  // namespace seedbed
