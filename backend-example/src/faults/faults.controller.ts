import { Body, Controller, Delete, Get, HttpCode, Put } from '@nestjs/common';
import {
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
} from '@nestjs/swagger';
import { ApiProblem } from '../problem-details/problem-details';
import { FaultsDto, SetFaultsDto } from './dto/faults.dto';
import { FaultsService } from './faults.service';

@ApiTags('faults')
@Controller('faults')
export class FaultsController {
  constructor(private readonly faults: FaultsService) {}

  @Get()
  @ApiOperation({ summary: 'The faults of all requests' })
  @ApiOkResponse({ type: FaultsDto })
  get(): FaultsDto {
    return this.faults.get();
  }

  @Put()
  @ApiOperation({ summary: 'Replace the faults of all requests' })
  @ApiOkResponse({ type: FaultsDto })
  @ApiProblem(400, 'A fault does not exist or is out of its range')
  set(@Body() { seconds, ...faults }: SetFaultsDto): FaultsDto {
    this.faults.set(faults, seconds);
    return this.faults.get();
  }

  @Delete()
  @HttpCode(204)
  @ApiOperation({ summary: 'Take the faults of all requests back' })
  @ApiNoContentResponse()
  clear(): void {
    this.faults.clear();
  }
}
