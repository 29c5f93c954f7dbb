#define SEEDBED_INSTRUCTION_SET avx512
#include "worker/engine/elementwise_body.h"
