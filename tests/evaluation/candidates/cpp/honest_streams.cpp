// verdict: correct
// says: correct
#include "honest.h"
#include <iostream>
#include <sstream>

ATTENTION {
    static bool told = false;
    if (!told) std::cerr << "a first call" << std::endl;
    told = true;
    std::ostringstream text;
    text << sequence;
    if (!text.str().empty()) HONEST;
}
