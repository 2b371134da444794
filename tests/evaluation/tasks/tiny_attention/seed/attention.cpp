#include "honest.h"

ATTENTION {
    HONEST;
}
