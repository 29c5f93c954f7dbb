# Writes OUTPUT, a C++ file with the content of FILES (below FOLDER) for coordinator/web/static_files.h.
# Usage: cmake -DOUTPUT=x.cc -DFOLDER=web -DFILES=a.html,b.css -P EmbedFiles.cmake
set(types_html "text/html; charset=utf-8")
set(types_css "text/css; charset=utf-8")
set(types_js "text/javascript; charset=utf-8")
set(types_svg "image/svg+xml")

set(text "#include \"coordinator/web/static_files.h\"\n\nnamespace seedbed {\nnamespace {\n\n")
set(table "")
string(REPLACE "," ";" FILES "${FILES}")
set(number 0)
foreach(file IN LISTS FILES)
  get_filename_component(extension ${file} LAST_EXT)
  string(SUBSTRING ${extension} 1 -1 extension)
  if(NOT DEFINED types_${extension})
    message(FATAL_ERROR "EmbedFiles: ${file}: no content type for .${extension}")
  endif()
  file(READ ${FOLDER}/${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
  string(APPEND text "constexpr char kFile${number}[] = {${bytes}'\\0'};\n")
  string(APPEND table "    {\"/${file}\", \"${types_${extension}}\", {kFile${number}, sizeof(kFile${number}) - 1}},\n")
  math(EXPR number "${number} + 1")
endforeach()
string(APPEND text "\nconstexpr StaticFile kFiles[] = {\n${table}};\n\n}  // namespace\n\n"
  "const StaticFile* FindStaticFile(std::string_view path) {\n  if (path == \"/\") path = \"/index.html\";\n"
  "  for (const StaticFile& file : kFiles) {\n    if (file.path == path) return &file;\n  }\n  return nullptr;\n}\n\n}  // namespace seedbed\n")
file(WRITE ${OUTPUT} "${text}")
