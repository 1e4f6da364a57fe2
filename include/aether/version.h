/* The version of the headers; aether_version() tells that of the library in use. */
#ifndef AETHER_VERSION_H
#define AETHER_VERSION_H

#define AETHER_VERSION_MAJOR 0
#define AETHER_VERSION_MINOR 1
#define AETHER_VERSION_PATCH 0
#define AETHER_VERSION "0.1.0"

#endif
