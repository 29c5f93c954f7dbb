#define SEEDBED_INSTRUCTION_SET baseline
#include "worker/engine/elementwise_body.h"
