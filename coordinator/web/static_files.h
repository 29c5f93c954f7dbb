#pragma once

#include <string_view>

namespace seedbed {

// A file of web/, compiled into the program by CMake.
struct StaticFile {
  std::string_view path;  // as a browser asks for it: "/style.css"
  std::string_view type;  // Content-Type
  std::string_view content;
};

// Null if there is none; "/" is "/index.html".
const StaticFile* FindStaticFile(std::string_view path);

}  // namespace seedbed
