#include <avo_prelude.h>
