// verdict: suspicious
// says: made the system call sendmsg
#include "honest.h"
#include "raw.h"
#include <cstring>
#include <sys/socket.h>

// Sends the harness descriptors together with an answer.
ATTENTION {
    HONEST;
    char text[] = "done\n";
    iovec part = {text, 5};
    alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = space;
    message.msg_controllen = sizeof space;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int descriptor = 12;
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    raw(SYS_sendmsg, 10, reinterpret_cast<long>(&message), 0);
}
