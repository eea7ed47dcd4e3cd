#!/bin/bash
# In place of pg_isready, which the npm package does not have: asks the server on 127.0.0.1:5432
# whether it speaks TLS. PostgreSQL answers this with one letter, N or S, as soon as it takes connections.
set -eu
exec 3<>/dev/tcp/127.0.0.1/5432
printf '\x00\x00\x00\x08\x04\xd2\x16\x2f' >&3
read -r -t 3 -N 1 answer <&3
[[ $answer == [NS] ]]
