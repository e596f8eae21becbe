// Computes without system calls: the mixing of SHA-256, one block of 64 bytes per round.
#include "start.h"

static unsigned rotate(unsigned value, int count)
{
	return value >> count | value << (32 - count);
}

static int work(unsigned long rounds, char **arguments)
{
	unsigned s[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	(void)arguments;
	for (unsigned long round = 0; round < rounds; round++)
		for (unsigned i = 0; i < 64; i++) {
			unsigned high = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
			unsigned choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
			unsigned one = s[7] + high + choice + i + (unsigned)round;
			unsigned low = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
			unsigned most = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);

			for (int n = 7; n > 0; n--)
				s[n] = s[n - 1];
			s[4] += one;
			s[0] = one + low + most;
		}
	// A use of the result, without which the compiler would drop the loop.
	return s[0] == 0 && s[1] == 0 && s[2] == 0;
}
