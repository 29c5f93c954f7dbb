#pragma once

#include "cli/commands.h"

namespace seedbed::cli {

void AddCareCommands(Commands& commands);  // backup, doctor

}  // namespace seedbed::cli
