"""The libraries and functions a candidate may use: mathematics, memory, containers, OpenMP.

An allow-list, because functions that are not needed for computing are ways to cheat: clocks,
threads, files, other libraries. Calls that bypass the C library (inline system calls) are stopped
by the runner's seccomp filter.
"""

from __future__ import annotations

import re

from avo_tui.evaluation.backends.cpp.elf import Import, SharedObject

_LIBRARIES = re.compile(
    r"lib(stdc\+\+|m|mvec|c|gcc_s|gomp|omp|iomp5|c\+\+|c\+\+abi|unwind|atomic)\.so(\.\d+)*"
    r"|ld-linux[-a-z0-9_]*\.so\.\d+"
)
_WHOLE_LIBRARIES = ("libm.so", "libmvec.so", "libgcc_s.so", "libatomic.so")
_FREE = re.compile(
    r"mem(cpy|set|move|cmp|chr|mem|pcpy)|__mem(cpy|set|move)_chk|b(zero|cmp|copy)"
    r"|str(n?len|n?cmp|n?cpy|chr|rchr|str)|malloc|calloc|realloc|free|aligned_alloc|posix_memalign"
    r"|memalign|malloc_usable_size|qsort|bsearch|labs|abs|div|ldiv|rand|srand|rand_r|random|drand48"
    r"|abort|__assert_fail|__stack_chk_fail|__stack_chk_guard|__fortify_fail|__cxa_\w+"
    r"|__gxx_personality_v0|__tls_get_addr|_Unwind_\w+|__errno_location"
    r"|printf|fprintf|vprintf|vfprintf|snprintf|vsnprintf|sprintf|puts|putchar|fputs|fputc|fwrite"
    r"|putc|fflush|__\w*printf_chk|stdout|stderr|perror"
    r"|__gmon_start__|_ITM_\w+|__dso_handle|_GLOBAL_OFFSET_TABLE_|sched_getaffinity"
    r"|GOMP_\w+|__kmpc_\w+|omp_(get|set|in|is|init|destroy|unset|test)_\w+"
    r"|_Zn[wa]\w*|_Zd[la]\w*|_ZSt7nothrow"  # operator new, operator delete
    r"|_Z(N?K?St\d*__throw|St\d+__throw)\w*|_ZNSt\w*(exception|error|invalid_argument|out_of_range|bad_\w+)\w*"
    r"|_ZN?K?St(7__cxx1112basic_string|12__basic_file|6localeC|6localeD)\w*|_ZNSs\w*|_ZNKSs\w*"
    r"|_ZSt21ios_base_library_initv|_ZSt\d+__glibcxx_assert_fail\w*"  # from GCC 13 on
    r"|_ZNSt8ios_base4Init[CD]\dEv|_ZSt4(cout|cerr|clog)|_ZNSo\w*|_ZSt\w*(ostream|endl|flush)\w*"
    r"|_ZStls\w*|_ZNKSt5ctypeIcE\w*|_ZNSt9basic_iosI\w*|_ZNSt15basic_streambufI\w*"
    r"|_ZT[IVS](N10__cxxabiv|St|Sl|Ss|S)\w*|_ZTI\w{1,3}|_ZSt(15set_new_handler|9terminate)\w*"
    r"|_ZNSt(8__detail|15_List_node_base|18_Rb_tree)\w*|_ZSt\d+_Rb_tree\w*|_ZNKSt8__detail\w*"
    r"|_ZSt11_Hash_bytes\w*|_ZSt\w*_(Rb_tree|List)\w*"
    # what once_flag, shared_ptr and mutex need if only one thread runs
    r"|pthread_(once|mutex_\w+|rwlock_\w+|key_create|getspecific|setspecific|self)|__pthread_key_create"
    r"|__once_proxy|_ZSt(15__once_callable|11__once_call)|__libc_single_threaded"
    r"|_ZNSt(9once_flag\w*|15__exception_ptr\w*|6thread20hardware_concurrencyEv)"
    r"|_Z(N?K?)St(19_Sp_make_shared_tag|16_Sp_counted_base)\w*|_ZTINSt\w*|_ZNSt3_V2\w*category\w*"
    # memory straight from the system, on huge pages for instance, and memory pools
    r"|mmap(64)?|munmap|madvise|posix_madvise|mremap|getpagesize|_ZN?K?St3pmr\w*|_ZTVNSt3pmr\w*"
    # text in memory, and character classes
    r"|_Z(N?K?|T[TV]N?)St7__cxx1119basic_[io]?stringstream\w*|_ZT[TV]NSt7__cxx11\w*"
    r"|_ZNSt7__cxx11\w*|_ZNSt8ios_base[CD]2Ev|_ZNSt6locale[CD]\dEv|_ZTVSt\w*|_ZTT\w*"
    r"|is(alnum|alpha|digit|space|upper|lower)|to(upper|lower)|strto(l|ul|ll|ull|f|d)|ato[ifl]"
    r"|mem(rchr|ccpy)|stpcpy|strto(k|k_r)|strcasecmp|strncasecmp|strdup|strerror"
)
_EXAMPLES = {
    "memory": ("malloc", "aligned_alloc", "free", "mmap", "madvise", "memcpy", "memset"),
    "text": ("printf", "snprintf"),
    "order": ("qsort", "bsearch"),
    "run once, locks": ("pthread_once", "pthread_mutex_lock"),
    "OpenMP": ("omp_get_num_threads",),
}
"""What the allow-list is for → functions by which an author recognises it."""
_VARIANT = re.compile(r"^__(isoc(99|23)_)?(?=\w+_chk$)|^__isoc(99|23)_")
_COMPILERS_OWN = re.compile(
    r"__(bid_)?[a-z]+?(bitint|[qhsdt]i|[bhsdtx][fc]|[sdt]d){1,2}\d?"
    r"|__cpu_(model|features2|indicator_init)"
)
"""Names of the compiler's own library (libgcc, compiler-rt): arithmetic that processors lack, named
by the kinds of its numbers, such as `__udivti3` and `__truncdfbf2`."""
_CLOCKS = re.compile(r"omp_get_wti(me|ck)|_ZNSt6chrono\w*")


def allowed() -> str:
    """What a candidate may call, by examples of which each is on the allow-list."""
    groups = {
        what: [name for name in names if _FREE.fullmatch(name)] for what, names in _EXAMPLES.items()
    }
    told = [f"{what} ({', '.join(names)})" for what, names in groups.items() if names]
    return f"all of the C library's mathematics, C++ containers, {', '.join(told)}"


def objection(shared: SharedObject, entry: str, own: frozenset[str] | None = None) -> str | None:
    """One sentence about a forbidden import of the candidate; None if there is none.

    `own`: the names that the candidate's own code refers to, of a candidate that was linked with
    its runtime library's code. Without them each import counts as the candidate's.
    """
    if entry not in shared.exports:
        return f'the source defines no extern "C" function {entry}'
    for library in shared.needed:
        if not _LIBRARIES.fullmatch(library):
            return f"the candidate links the library {library}, which is not allowed"
    refused = imports_refused(shared) if own is None else _references_refused(shared, own)
    if refused:
        some = ", ".join(sorted(refused)[:6])
        return f"the candidate uses functions that are not allowed: {some}; these are: {allowed()}"
    return None


def imports_refused(shared: SharedObject) -> list[str]:
    """Names of the imports that are not allowed, whoever refers to them."""
    return [s.name for s in shared.imports if not _from_whole_library(s) and not _free(s.name)]


def _references_refused(shared: SharedObject, own: frozenset[str]) -> list[str]:
    libraries = {symbol.name: symbol for symbol in shared.imports}
    refused = []
    for reference in own:
        name = reference.partition("@")[0]  # the version it asks for
        symbol = libraries.get(name)
        # What is imported from nowhere was linked: of the runtime library, or of the compiler.
        linked_helper = symbol is None and _COMPILERS_OWN.fullmatch(name)
        if linked_helper or (symbol is not None and _from_whole_library(symbol)):
            continue
        if not _free(name):
            refused.append(name)
    return refused


def _from_whole_library(symbol: Import) -> bool:
    return symbol.library.startswith(_WHOLE_LIBRARIES) and not _CLOCKS.fullmatch(symbol.name)


def _free(name: str) -> bool:
    """True for an allowed name, or what the C library makes of one: `__isoc23_strtol` where a newer
    standard is compiled for, `__strcpy_chk` where buffers are guarded."""
    plain = _VARIANT.sub("", name).removesuffix("_chk")
    return not _CLOCKS.fullmatch(name) and any(_FREE.fullmatch(n) for n in (name, plain))
