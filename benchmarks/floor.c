/* The floor under every recorder: for each camera an RTSP session over TCP, then only recv and write, swept in turn.
 *
 *   floor HOST PORT CAMERAS FOLDER SWEEP_MS
 *
 * Nothing is parsed after PLAY; what comes off the socket goes into one file a camera. Ends on SIGTERM. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 4096
static int sockets[MOST], files[MOST];
static volatile sig_atomic_t stopped;
static char buffer[1 << 20];

static void stop(int number) { (void)number; stopped = 1; }

/* Sends a request and reads until the answer's headers and body are complete. */
static void ask(int fd, const char *text, char *answer, size_t room)
{
    size_t have = 0;
    if (write(fd, text, strlen(text)) < 0) { perror("write"); exit(1); }
    for (;;) {
        ssize_t got = recv(fd, answer + have, room - 1 - have, 0);
        if (got <= 0) { fprintf(stderr, "the server went away\n"); exit(1); }
        have += (size_t)got;
        answer[have] = 0;
        char *end = strstr(answer, "\r\n\r\n");
        if (!end) continue;
        char *length = strcasestr(answer, "Content-Length:");
        size_t body = length && length < end ? strtoul(length + 15, NULL, 10) : 0;
        if (have >= (size_t)(end + 4 - answer) + body) return;
    }
}

int main(int count, char **words)
{
    if (count != 6) { fprintf(stderr, "usage: floor HOST PORT CAMERAS FOLDER SWEEP_MS\n"); return 2; }
    int cameras = atoi(words[3]), sweep_ms = atoi(words[5]);
    if (cameras < 1 || cameras > MOST) return 2;
    signal(SIGTERM, stop);
    for (int i = 0; i < cameras; i++) {
        char url[256], text[1024], answer[65536], session[128] = "", path[512];
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[2]))};
        inet_pton(AF_INET, words[1], &to.sin_addr);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) { perror("connect"); return 1; }
        snprintf(url, sizeof url, "rtsp://%s:%s/cam/%d", words[1], words[2], i + 1);
        snprintf(text, sizeof text, "DESCRIBE %s RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n", url);
        ask(fd, text, answer, sizeof answer);
        char control[256] = "";
        char *media = strstr(answer, "m=video"), *found = media ? strstr(media, "a=control:") : NULL;
        if (found) sscanf(found + 10, "%255[^\r\n]", control);
        char full[600];
        if (strncmp(control, "rtsp://", 7) == 0) snprintf(full, sizeof full, "%s", control);
        else snprintf(full, sizeof full, "%s/%s", url, control);
        snprintf(text, sizeof text, "SETUP %s RTSP/1.0\r\nCSeq: 2\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n", full);
        ask(fd, text, answer, sizeof answer);
        char *named = strcasestr(answer, "Session:");
        if (named) sscanf(named + 8, " %127[^;\r\n]", session);
        snprintf(text, sizeof text, "PLAY %s RTSP/1.0\r\nCSeq: 3\r\nSession: %s\r\n\r\n", url, session);
        ask(fd, text, answer, sizeof answer);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        snprintf(path, sizeof path, "%s/%d.bin", words[4], i + 1);
        sockets[i] = fd;
        files[i] = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (files[i] < 0) { perror(path); return 1; }
    }
    printf("ready\n");
    fflush(stdout);
    struct timespec pause = {sweep_ms / 1000, sweep_ms % 1000 * 1000000L};
    while (!stopped) {
        for (int i = 0; i < cameras; i++) {
            ssize_t got;
            do {
                got = recv(sockets[i], buffer, sizeof buffer, 0);
                if (got > 0 && write(files[i], buffer, (size_t)got) < 0) { perror("write"); return 1; }
            } while (got == (ssize_t)sizeof buffer);
        }
        nanosleep(&pause, NULL);
    }
    return 0;
}
