# seedbed_library, seedbed_program and seedbed_test give every target of ours the same flags. Dependencies are named by
# the caller as PUBLIC (they stand in its headers) or PRIVATE; nothing is linked globally.

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

function(_seedbed_flags target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Werror -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  if(SEEDBED_FUZZ)
    # Clang sees other things than GCC, which is the compiler that has to be content.
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link -Wno-error)
  elseif(SEEDBED_SANITIZE)
    # GCC loses track of initialised variables in instrumented code.
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
  endif()
  if(SEEDBED_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${SEEDBED_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
    # A vector's spare capacity is no overflow to a sanitizer; the standard library's own checks see it.
    target_compile_definitions(${target} PRIVATE _GLIBCXX_ASSERTIONS)
    if(SEEDBED_SANITIZE MATCHES "thread")
      # Protobuf's headers would give its maps another layout than they have in the installed library.
      target_compile_options(${target} PRIVATE -U__SANITIZE_THREAD__)
    endif()
    target_link_options(${target} PUBLIC -fsanitize=${SEEDBED_SANITIZE})
  endif()
endfunction()

# What every program of an instrumented build has besides: tests/sanitizers says why.
if(SEEDBED_SANITIZE MATCHES "thread")
  add_library(seedbed_absl_mutex OBJECT ${PROJECT_SOURCE_DIR}/tests/sanitizers/absl_mutex.cc)
  target_compile_options(seedbed_absl_mutex PRIVATE -fsanitize=${SEEDBED_SANITIZE} -O1 -g1)
endif()
function(_seedbed_program_flags target)
  _seedbed_flags(${target})
  if(TARGET seedbed_absl_mutex)
    target_link_libraries(${target} PRIVATE seedbed_absl_mutex absl::synchronization)
  endif()
endfunction()

# seedbed_timeout(TEST SECONDS): what the test may take in a release build; instrumented code gets SEEDBED_TIME_FACTOR times as long.
function(seedbed_timeout test seconds)
  math(EXPR seconds "${seconds} * ${SEEDBED_TIME_FACTOR}")
  set_tests_properties(${test} PROPERTIES TIMEOUT ${seconds})
endfunction()

# seedbed_library(NAME SOURCES a.cc b.cc PUBLIC libs... PRIVATE libs...)
function(seedbed_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  _seedbed_flags(${name})
endfunction()

# seedbed_program(NAME SOURCES main.cc PRIVATE libs...)
function(seedbed_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PRIVATE" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_PRIVATE})
  _seedbed_program_flags(${name})
endfunction()

# seedbed_test(NAME SOURCES x_test.cc PRIVATE libs... [LABELS l...] [TIMEOUT seconds]): a GoogleTest binary, one ctest entry.
function(seedbed_test name)
  if(NOT SEEDBED_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;PRIVATE;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_PRIVATE} GTest::gmock GTest::gtest GTest::gtest_main)
  _seedbed_program_flags(${name})
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${name} PRIVATE -O1)  # GoogleMock's templates take twice as long to compile at -O3
  elseif(SEEDBED_SANITIZE)
    target_compile_options(${name} PRIVATE -O0)  # instrumented, likewise
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  seedbed_timeout(${name} ${ARG_TIMEOUT})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}")
endfunction()
