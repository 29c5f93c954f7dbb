#define SEEDBED_INSTRUCTION_SET avx2
#include "worker/engine/elementwise_body.h"
