// vsock-shim COMMAND...: runs COMMAND so that a kernel without vhost_vsock does not stop it from serving virtual machines.
//
// Two system calls of COMMAND and its children are changed, by a seccomp filter:
//  - bind() of a vsock to the host's id, which such a kernel refuses, becomes a bind to any id and any port (a free port,
//    since vsock ports are shared by the whole kernel, and so by all beds). The machines have no vsock anyway.
//  - raising the limit of locked memory, which may be forbidden, is answered with success.
// The filter hands bind() over to a supervisor, a process apart, which ends when the last filtered process has ended.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;

static void forward(int signal) { if (child > 0) kill(child, signal); }

static void die(const char *what) { perror(what); _exit(1); }

static int install_filter(void) {
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define DO(what) BPF_STMT(BPF_RET | BPF_K, what)
  struct sock_filter filter[] = {
    /*  0 */ LOAD(arch), IF(AUDIT_ARCH_X86_64, 0, 11),
    /*  2 */ LOAD(nr), IF(SYS_prlimit64, 5, 0), IF(SYS_setrlimit, 6, 0), IF(SYS_bind, 0, 7),
    /*  6 */ LOAD(args[2]), IF(sizeof(struct sockaddr_vm), 0, 5), DO(SECCOMP_RET_USER_NOTIF),
    /*  9 */ LOAD(args[1]), IF(RLIMIT_MEMLOCK, 3, 2),
    /* 11 */ LOAD(args[0]), IF(RLIMIT_MEMLOCK, 1, 0),
    /* 13 */ DO(SECCOMP_RET_ALLOW),
    /* 14 */ DO(SECCOMP_RET_ERRNO | 0),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (listener < 0) die("vsock-shim: seccomp");
  return listener;
}

static void send_descriptor(int channel, int descriptor) {
  char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec byte = {"x", 1};
  struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(head), &descriptor, sizeof(int));
  if (sendmsg(channel, &message, 0) != 1) die("vsock-shim: sendmsg");
}

static int receive_descriptor(int channel) {
  char byte, control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec space = {&byte, 1};
  struct msghdr message = {.msg_iov = &space, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  int descriptor;
  if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) <= 0 || !CMSG_FIRSTHDR(&message)) return -1;
  memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
  return descriptor;
}

// The notification names a thread; its descriptors are found through its process.
static pid_t process_of(pid_t thread) {
  char path[64], line[256];
  pid_t process = thread;
  snprintf(path, sizeof path, "/proc/%d/status", thread);
  FILE *status = fopen(path, "re");
  while (status && fgets(line, sizeof line, status)) if (sscanf(line, "Tgid: %d", &process) == 1) break;
  if (status) fclose(status);
  return process;
}

static void answer(int listener, struct seccomp_notif *asked) {
  struct seccomp_notif_resp response = {.id = asked->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  struct sockaddr_vm address;
  struct iovec here = {&address, sizeof address}, there = {(void *)asked->data.args[1], sizeof address};
  if (process_vm_readv(asked->pid, &here, 1, &there, 1, 0) == sizeof address &&
      address.svm_family == AF_VSOCK && address.svm_cid == VMADDR_CID_HOST) {
    int process = syscall(SYS_pidfd_open, process_of(asked->pid), 0);
    int copy = process < 0 ? -1 : syscall(SYS_pidfd_getfd, process, (int)asked->data.args[0], 0);
    address.svm_cid = VMADDR_CID_ANY;
    address.svm_port = VMADDR_PORT_ANY;
    response.flags = 0;
    response.error = copy >= 0 && !bind(copy, (void *)&address, sizeof address) ? 0 : -(errno ? errno : EIO);
    if (copy >= 0) close(copy);
    if (process >= 0) close(process);
  }
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static void supervise(int listener) {
  for (;;) {
    struct pollfd event = {.fd = listener, .events = POLLIN};
    struct seccomp_notif asked = {0};
    if (poll(&event, 1, -1) < 0) { if (errno == EINTR) continue; _exit(1); }
    if (!(event.revents & POLLIN)) _exit(0);                           // hung up: no filtered process is left
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) == 0) answer(listener, &asked);
    else if (errno != EINTR && errno != ENOENT) _exit(1);              // ENOENT: the asker has gone meanwhile
  }
}

int main(int argc, char **argv) {
  int channel[2], listener, status;
  if (argc < 2) return fprintf(stderr, "usage: vsock-shim COMMAND...\n"), 2;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel)) die("vsock-shim: socketpair");
  child = fork();
  if (child < 0) die("vsock-shim: fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);                                  // killing the shim kills COMMAND
    listener = install_filter();
    send_descriptor(channel[1], listener);
    close(listener);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    _exit(127);
  }
  for (int number = 1; number < 32; number++)
    if (number != SIGCHLD && number != SIGKILL && number != SIGSTOP && number != SIGSEGV) signal(number, forward);
  close(channel[1]);
  listener = receive_descriptor(channel[0]);
  if (listener < 0) return 1;
  if (fork() == 0) supervise(listener);
  close(listener);
  while (waitpid(child, &status, 0) != child) if (errno != EINTR) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
